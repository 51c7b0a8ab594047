package catalog_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
)

func keys(s *catalog.Snapshot) []string {
	var out []string
	for _, o := range s.Objects {
		if o.Key.Kind != catalog.Schema && o.Key.Name != "plpgsql" {
			out = append(out, o.Key.String())
		}
	}
	return out
}

func TestOnlyTheScopeIsRead(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	setup := []string{
		"CREATE SCHEMA app; CREATE SCHEMA other; CREATE SCHEMA pgtender; CREATE SCHEMA ext",
		"CREATE EXTENSION pg_trgm SCHEMA ext; CREATE EXTENSION hstore; CREATE EXTENSION citext SCHEMA app",
		"CREATE TABLE app.t (a integer); CREATE TABLE other.t (a integer); CREATE TABLE pgtender.t (a integer)",
		"CREATE TABLE legacy_a (a serial PRIMARY KEY); CREATE INDEX legacy_i ON legacy_a (a); CREATE VIEW legacy_v AS SELECT 1 AS a",
		"CREATE TABLE t (a integer, tmp_x integer CHECK (tmp_x > 0)); CREATE INDEX tmp_i ON t (a); CREATE INDEX keep_i ON t (a)",
		"CREATE FUNCTION legacy_f(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'; CREATE TYPE legacy_e AS ENUM ('a')",
		"CREATE AGGREGATE legacy_agg(integer) (sfunc = int4pl, stype = integer); GRANT SELECT ON legacy_a TO PUBLIC",
	}
	scope := catalog.Scope{
		Schemas:    []string{"app", "public", "pgtender", "pg_catalog", "information_schema"},
		Exclude:    []string{"public.legacy_*", "public.t.tmp_*", "public.tmp_i"},
		Extensions: []string{"citext"},
	}
	s := snapshot(t, conn, scope, setup...)
	want := []string{
		"extension citext", "table app.t", "table public.t", "column app.t.a", "column public.t.a",
		"constraint public.t.t_tmp_x_check", "index public.t.keep_i",
	}
	got := keys(s)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got)\n%s", diff)
	}
	wantLeft := []string{
		"aggregate public.legacy_agg(integer)", "column public.t.tmp_x", "enum public.legacy_e", "extension hstore", "extension pg_trgm",
		"extension plpgsql", "function public.legacy_f(integer)", "index public.t.tmp_i", "privileges public.legacy_a",
		"sequence public.legacy_a_a_seq", "table public.legacy_a", "view public.legacy_v",
	}
	if diff := cmp.Diff(wantLeft, s.LeftAlone); diff != "" {
		t.Errorf("left alone (-want +got)\n%s", diff)
	}
	if len(s.Unmanaged) > 0 {
		t.Errorf("unmanaged: %v", s.Unmanaged)
	}
}

func TestAWholeSchemaCanBeExcluded(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	s := snapshot(t, conn, catalog.Scope{Schemas: []string{"public", "app"}, Exclude: []string{"ap?"}}, "CREATE SCHEMA app; CREATE TABLE app.t (a integer)")
	if got := keys(s); len(got) > 0 {
		t.Errorf("read %v", got)
	}
}

func TestPartitionsOfAPolicyAreChildren(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	setup := []string{
		`CREATE SCHEMA parts; CREATE TABLE p (a integer, k text, at date, PRIMARY KEY (a, at, k)) PARTITION BY RANGE (at)`,
		`CREATE INDEX ON p (k); CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
		 CREATE TABLE parts.p_2 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (k);
		 CREATE TABLE parts.p_2x PARTITION OF parts.p_2 FOR VALUES IN ('x'); CREATE TABLE p_def PARTITION OF p DEFAULT;
		 CREATE INDEX own ON p_1 (a); ALTER TABLE p_1 ADD CHECK (a > 0)`,
	}
	scope := catalog.Scope{Schemas: []string{"public"}, Policies: []catalog.Key{catalog.TableKey("public", "p")}}
	s := snapshot(t, conn, scope, setup...)
	bare := snapshot(t, conn, scope, strings.Split(setup[0], "\n")[0], "CREATE INDEX ON p (k)")
	if d := catalog.Diff(s, bare); len(d) > 0 {
		t.Errorf("partitions of a policy differ from none: %v", describe(d))
	}
	p, p2 := catalog.TableKey("public", "p"), catalog.TableKey("parts", "p_2")
	want := []catalog.Child{
		{Parent: p2, Table: catalog.TableKey("parts", "p_2x"), Bound: "FOR VALUES IN ('x')", Leaf: true},
		{Parent: p, Table: p2, Bound: "FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"},
		{Parent: p, Table: catalog.TableKey("public", "p_1"), Bound: "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')", Leaf: true},
		{Parent: p, Table: catalog.TableKey("public", "p_def"), Bound: "DEFAULT", Leaf: true},
	}
	if diff := cmp.Diff(want, s.Children); diff != "" {
		t.Errorf("children (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"partitions of table public.p (4)"}, without(s.LeftAlone, "extension")); diff != "" {
		t.Errorf("left alone (-want +got)\n%s", diff)
	}
	scope.Policies = nil
	s = snapshot(t, conn, scope, setup...)
	var got []string
	for _, u := range s.Unmanaged {
		got = append(got, u.Kind+" "+u.Name)
	}
	if diff := cmp.Diff([]string{"partition parts.p_2", "partition parts.p_2x", "partition public.p_1", "partition public.p_def"}, got); diff != "" {
		t.Errorf("unmanaged (-want +got)\n%s", diff)
	}
}

func without(list []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.HasPrefix(s, prefix) })
}

// notCompared has an object of each kind that is not compared.
func notCompared() []struct{ sql, want string } {
	return []struct{ sql, want string }{
		{"CREATE TYPE r; CREATE FUNCTION can(r) RETURNS r LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical'; CREATE TYPE r AS RANGE (subtype = integer, canonical = can)", "range type with a canonical function public.r"},
		{"CREATE TYPE s", "shell type public.s"},
		{"CREATE TYPE b; CREATE FUNCTION b_in(cstring) RETURNS b LANGUAGE internal IMMUTABLE STRICT AS 'int4in'; CREATE FUNCTION b_out(b) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out'; CREATE TYPE b (input = b_in, output = b_out, like = integer)", "base type public.b"},
		{"CREATE TYPE c AS (a integer); CREATE TABLE t OF c", "typed table public.t"},
		{"CREATE OPERATOR === (leftarg = integer, rightarg = integer, function = int4eq)", "operator public.===(integer, integer)"},
		{"CREATE OPERATOR CLASS oc FOR TYPE integer USING btree AS OPERATOR 1 <", "operator class public.oc"},
		{"CREATE OPERATOR FAMILY of USING btree", "operator family public.of"},
		{"CREATE CONVERSION cv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8", "conversion public.cv"},
		{"CREATE TEXT SEARCH CONFIGURATION tc (copy = simple)", "text search configuration public.tc"},
		{"CREATE TEXT SEARCH DICTIONARY td (template = simple)", "text search dictionary public.td"},
		{"CREATE TEXT SEARCH PARSER tp (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)", "text search parser public.tp"},
		{"CREATE TEXT SEARCH TEMPLATE tt (lexize = dsimple_lexize)", "text search template public.tt"},
		{"CREATE EXTENSION postgres_fdw; CREATE SERVER sv FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE ft (a integer) SERVER sv", "foreign table public.ft"},
		{"CREATE EXTENSION postgres_fdw; CREATE SERVER sv FOREIGN DATA WRAPPER postgres_fdw", "foreign server sv"},
		{"CREATE EXTENSION postgres_fdw; CREATE SERVER sv FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR PUBLIC SERVER sv", "user mapping public on sv"},
		{"CREATE FOREIGN DATA WRAPPER fw", "foreign-data wrapper fw"},
		{"CREATE CAST (integer AS date) WITH INOUT", "cast integer AS date"},
		{"CREATE FUNCTION lh() RETURNS language_handler LANGUAGE internal AS 'fmgr_internal_validator'; CREATE LANGUAGE la HANDLER lh", "language la"},
		{"CREATE FUNCTION tr(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'prsd_lextype'; CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION tr(internal))", "transform for integer language sql"},
		{"CREATE ACCESS METHOD am TYPE TABLE HANDLER heap_tableam_handler", "access method am"},
		{"CREATE SCHEMA other; CREATE FUNCTION other.ef() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION other.ef()", "event trigger et"},
		{"CREATE TABLE t (a integer) PARTITION BY LIST (a); CREATE TABLE t_1 PARTITION OF t DEFAULT", "partition public.t_1"},
		{"CREATE PUBLICATION pu", "publication pu"},
		{"CREATE SUBSCRIPTION su CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)", "subscription su"},
		{"CREATE TABLE t (a integer); GRANT SELECT ON t TO pg_monitor", "privileges public.t"},
		{"CREATE TABLE t (a integer); GRANT SELECT (a) ON t TO pg_monitor", "privileges public.t"},
		{"CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO pg_monitor", "privileges public.s"},
		{"CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC", "privileges public.f()"},
		{"CREATE DOMAIN d AS integer; REVOKE USAGE ON TYPE d FROM PUBLIC", "privileges public.d"},
		{"GRANT CREATE ON SCHEMA public TO pg_monitor", "privileges schema public"},
		{"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor", "default privileges of role postgres on tables"},
	}
}

// Each kind that is not compared is listed by name, and said in docs/schema.md; so is each that is.
func TestWhatIsNotComparedIsListed(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	doc, err := os.ReadFile("../../docs/schema.md")
	if err != nil {
		t.Fatal(err)
	}
	said := func(kind, column string) {
		t.Helper()
		if !regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(kind) + ` \| ` + column).Match(doc) {
			t.Errorf("docs/schema.md does not say of %s: %s", kind, column)
		}
	}
	for _, kind := range catalog.Kinds() {
		said(string(kind), "yes")
	}
	for _, c := range notCompared() {
		t.Run(c.want, func(t *testing.T) {
			s := snapshot(t, conn, public, c.sql)
			for _, u := range s.Unmanaged {
				if u.Kind+" "+u.Name == c.want && !slices.Contains(catalog.Kinds(), catalog.Kind(u.Kind)) && u.Kind != "privileges" {
					said(u.Kind, "no")
				}
			}
			var got []string
			for _, u := range s.Unmanaged {
				got = append(got, u.Kind+" "+u.Name)
			}
			if !slices.Contains(got, c.want) {
				t.Errorf("listed %q", got)
			}
		})
	}
	if s := snapshot(t, conn, public, "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION btree_gist; CREATE EXTENSION ltree"); len(s.Unmanaged) > 0 || len(keys(s)) != 4 {
		t.Errorf("members of extensions: %v %v", s.Unmanaged, keys(s))
	}
}

func TestNeeds(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	s := snapshot(t, conn, public,
		`CREATE EXTENSION citext; CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN d AS e; CREATE SEQUENCE sq`,
		`CREATE FUNCTION ok(e) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true`,
		`CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id serial, kind e CHECK (ok(kind)), kinds d[], name citext, n integer DEFAULT nextval('sq'), p integer CONSTRAINT fk REFERENCES p)`,
		`CREATE INDEX i ON t (ok(kind)); CREATE VIEW v AS SELECT name FROM t; CREATE VIEW w AS SELECT * FROM v; CREATE FUNCTION rows() RETURNS SETOF v LANGUAGE sql AS 'SELECT * FROM public.v'`,
		`CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE TRIGGER tg AFTER INSERT ON t EXECUTE FUNCTION g(); CREATE POLICY po ON t USING (EXISTS (SELECT FROM p))`)
	needs := func(kind catalog.Kind, table, name string) string {
		o, ok := s.Lookup(catalog.Key{Kind: kind, Schema: "public", Table: table, Name: name})
		if !ok {
			t.Fatalf("no %s %s.%s", kind, table, name)
		}
		var out []string
		for _, k := range o.Needs {
			if k.Kind != catalog.Schema {
				out = append(out, k.String())
			}
		}
		return strings.Join(out, ", ")
	}
	for _, c := range []struct {
		kind              catalog.Kind
		table, name, want string
	}{
		{catalog.Domain, "", "d", "enum public.e"},
		{catalog.Function, "", "ok(public.e)", "enum public.e"},
		{catalog.Column, "t", "id", "sequence public.t_id_seq"},
		{catalog.Sequence, "", "t_id_seq", ""},
		{catalog.Column, "t", "kinds", "domain public.d"},
		{catalog.Column, "t", "name", "extension citext"},
		{catalog.Column, "t", "n", "sequence public.sq"},
		{catalog.Constraint, "t", "t_kind_check", "function public.ok(public.e), column public.t.kind"},
		{catalog.Constraint, "t", "fk", "column public.p.id, constraint public.p.p_pkey, column public.t.p"},
		{catalog.Index, "t", "i", "function public.ok(public.e), table public.t, column public.t.kind"},
		{catalog.View, "", "v", "extension citext, column public.t.name"},
		{catalog.View, "", "w", "extension citext, view public.v"},
		{catalog.Function, "", "rows()", "view public.v"},
		{catalog.Trigger, "t", "tg", "function public.g(), table public.t"},
		{catalog.Policy, "t", "po", "table public.p, table public.t"},
	} {
		if got := needs(c.kind, c.table, c.name); got != c.want {
			t.Errorf("%s %s.%s needs %q, want %q", c.kind, c.table, c.name, got, c.want)
		}
	}
}

func TestHostileNames(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	odd := `a"b.c'd; DROP TABLE x (é\` + "\n" + `/*` // 63 bytes at most
	id := pg.Ident
	s := snapshot(t, conn, catalog.Scope{Schemas: []string{odd}},
		"CREATE SCHEMA "+id(odd),
		"CREATE TYPE "+id(odd, "e"+odd)+" AS ENUM ("+pg.Literal(odd)+")",
		"CREATE TABLE "+id(odd, odd)+" ("+id(odd)+" integer GENERATED ALWAYS AS IDENTITY CONSTRAINT "+id("k"+odd)+" PRIMARY KEY, b "+id(odd, "e"+odd)+")",
		"CREATE INDEX "+id("i"+odd)+" ON "+id(odd, odd)+" (b)",
		"CREATE FUNCTION "+id(odd, odd)+"("+id(odd, "e"+odd)+") RETURNS integer LANGUAGE sql AS 'SELECT 1'",
		"CREATE VIEW "+id(odd, "v"+odd)+" AS SELECT * FROM "+id(odd, odd))
	for _, k := range []catalog.Key{
		{Kind: catalog.Schema, Name: odd},
		{Kind: catalog.Enum, Schema: odd, Name: "e" + odd},
		{Kind: catalog.Column, Schema: odd, Table: odd, Name: odd},
		{Kind: catalog.Constraint, Schema: odd, Table: odd, Name: "k" + odd},
		{Kind: catalog.Index, Schema: odd, Table: odd, Name: "i" + odd},
		{Kind: catalog.Function, Schema: odd, Name: id(odd) + "(" + id(odd) + "." + id("e"+odd) + ")"},
		{Kind: catalog.View, Schema: odd, Name: "v" + odd},
	} {
		if _, ok := s.Lookup(k); !ok {
			t.Errorf("%q is not there", k.String())
		}
	}
	if len(s.Unmanaged) > 0 {
		t.Errorf("unmanaged: %v", s.Unmanaged)
	}
}

// What an identity column's sequence is called by default, for long and non-ASCII names.
func TestDefaultName(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	for _, c := range [][2]string{
		{"t", "a"}, {strings.Repeat("t", 63), "a"}, {"t", strings.Repeat("a", 63)}, {strings.Repeat("t", 40), strings.Repeat("a", 40)},
		{strings.Repeat("é", 31), strings.Repeat("ü", 31)}, {strings.Repeat("日", 21), "x"}, {strings.Repeat("t", 29), strings.Repeat("a", 30)},
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got, key string
		_, err = tx.Exec(t.Context(), "CREATE TABLE public."+pg.Ident(c[0])+" ("+pg.Ident(c[1])+" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
		if err == nil {
			err = tx.QueryRow(t.Context(), `SELECT (SELECT relname FROM pg_class WHERE relkind = 'S' AND oid >= 16384), (SELECT conname FROM pg_constraint WHERE contype = 'p' AND oid >= 16384)`).Scan(&got, &key)
		}
		tx.Rollback(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if want := catalog.DefaultName(c[0], c[1], "seq"); got != want {
			t.Errorf("%v: sequence %q, computed %q", c, got, want)
		}
		if want := catalog.DefaultName(c[0], "", "pkey"); key != want {
			t.Errorf("%v: primary key %q, computed %q", c, key, want)
		}
	}
}

// The printing of definitions does not depend on what the role, the database or the session have set.
func TestSettingsDoNotShow(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	setup := `CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('a'); CREATE TABLE s.t (a s.e DEFAULT 'a', b timestamptz DEFAULT '2024-01-02 03:04:05+00', c interval DEFAULT '1 day 2 hours',
		d double precision DEFAULT 0.1, f bytea DEFAULT '\x00ff', g money DEFAULT '1.5', h text DEFAULT E'a\\b', i date DEFAULT '2024-03-04'); CREATE VIEW s.v AS SELECT a FROM s.t`
	scope := catalog.Scope{Schemas: []string{"s"}}
	want := snapshot(t, conn, scope, setup)
	got := snapshot(t, conn, scope, setup, `SET LOCAL search_path = s; SET LOCAL quote_all_identifiers = on; SET LOCAL DateStyle = 'SQL, DMY'; SET LOCAL IntervalStyle = iso_8601;
		SET LOCAL TimeZone = 'Asia/Kolkata'; SET LOCAL extra_float_digits = -5; SET LOCAL bytea_output = escape; SET LOCAL standard_conforming_strings = off`)
	if d := catalog.Diff(want, got); len(d) > 0 {
		t.Errorf("%v", d)
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestTheNumberOfQueriesIsConstant(t *testing.T) {
	url := pgtest.Database(t)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	queries := &counter{}
	cfg.Tracer = queries
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	count := func() int64 {
		queries.n.Store(0)
		begin := time.Now()
		s, err := catalog.ReadDatabase(t.Context(), conn, public, 1000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d objects in %d queries, %s", len(s.Objects), queries.n.Load(), time.Since(begin).Round(time.Millisecond))
		return queries.n.Load()
	}
	few := count()
	for batch := range 5 { // a transaction each: 500 tables take more locks than one may
		var sql strings.Builder
		for i := range 100 {
			n := batch*100 + i
			fmt.Fprintf(&sql, `CREATE TABLE public.t%d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL, b integer DEFAULT 1 CHECK (b > 0),
				c timestamptz DEFAULT now(), d numeric(10,2) UNIQUE); CREATE INDEX ON public.t%d (a);`, n, n)
		}
		pgtest.Exec(t, url, sql.String())
	}
	if many := count(); many != few {
		t.Errorf("%d queries on an empty database, %d on 500 tables", few, many)
	}
}

// A reading waits for a strong lock no longer than lock_timeout, and reads without rights on the objects.
func TestLockedTablesAndFewRights(t *testing.T) {
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.t (a integer); CREATE INDEX i ON public.t (a); CREATE POLICY p ON public.t USING (a > 0)")
	want, err := catalog.ReadDatabase(t.Context(), connect(t, url), public, 0)
	if err != nil {
		t.Fatal(err)
	}
	poor := connect(t, pgtest.Role(t, url))
	got, err := catalog.ReadDatabase(t.Context(), poor, public, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a role without rights reads something else:\n%s", diff)
	}
	locker, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Rollback(context.Background())
	if _, err := locker.Exec(t.Context(), "LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.ReadDatabase(t.Context(), poor, public, 50); !pg.Is(err, pg.LockNotAvailable) {
		t.Errorf("under a lock: %v", err)
	}
}

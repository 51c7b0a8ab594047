package desired_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

const logTable = `
CREATE TABLE models (id integer PRIMARY KEY);
CREATE TYPE level AS ENUM ('low', 'high');
CREATE FUNCTION ok(level) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true;
CREATE TABLE log (
  id bigint GENERATED ALWAYS AS IDENTITY,
  serial_no serial,
  model integer REFERENCES models ON DELETE CASCADE,
  at timestamptz DEFAULT now(),
  lvl level DEFAULT 'low' CHECK (ok(lvl)),
  took interval CONSTRAINT took_it NOT NULL,
  double_took interval GENERATED ALWAYS AS (took * 2) VIRTUAL,
  stored_took interval GENERATED ALWAYS AS (took * 3) STORED,
  note text COMPRESSION pglz COLLATE "C",
  PRIMARY KEY (id, at),
  CONSTRAINT log_model_key UNIQUE (model, at) DEFERRABLE,
  CONSTRAINT never_enforced CHECK (model > 0) NOT ENFORCED
) PARTITION BY RANGE (at);
ALTER TABLE log ADD CONSTRAINT later CHECK (model > 1) NOT VALID;
ALTER TABLE log ALTER COLUMN note SET STORAGE EXTERNAL;
CREATE INDEX idx_log_note ON log (note) WHERE lvl = 'high';
CREATE INDEX log_lower ON log (lower(note) DESC) INCLUDE (took);
COMMENT ON INDEX log_lower IS 'by note';
COMMENT ON COLUMN log.note IS 'free text';
CREATE STATISTICS log_stat ON model, lvl FROM log;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON log FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE log ENABLE ROW LEVEL SECURITY;
CREATE INDEX log_ää_a_name_that_is_as_long_as_a_name_may_be_and_no_longer__ ON log (model);
`

var (
	logConfig  = config.Table{Schema: "public", Name: "log"}
	oldConfig  = config.Table{Schema: "public", Name: "log_old"}
	policyPos  = config.Pos{File: "atlas.hcl", Line: 7, Column: 3}
	logArchive = config.Archive{Table: logConfig, Into: oldConfig, Partitioned: true, Pos: policyPos}
)

func withArchive(o *desired.Options) {
	o.Partitions = []config.Partition{{Table: logConfig, Pos: policyPos}}
	o.Archives = []config.Archive{logArchive}
}

func TestTheArchiveFollowsItsTable(t *testing.T) {
	r := mustLoad(t, map[string]string{"log.sql": logTable}, withArchive)
	var got []string
	for _, o := range r.Snapshot.Objects {
		if o.Key.Table != "log_old" && o.Key.Name != "log_old" && o.Key.Name != "log_old_stat" {
			continue
		}
		line := o.Key.String()
		for _, f := range o.Facts {
			line += "; " + f.Name + "=" + f.Value
		}
		got = append(got, line)
	}
	want := []string{
		"table public.log_old; comment=Archive of public.log; made and kept like it by pgtender; partition by=RANGE (at)",
		"statistics public.log_old_stat; definition=CREATE STATISTICS public.log_old_stat ON lvl, model FROM public.log_old",
		"column public.log_old.at; not null=true; type=timestamp with time zone",
		"column public.log_old.double_took; expression=(took * (2)::double precision); generated=virtual; type=interval",
		"column public.log_old.id; not null=true; type=bigint",
		"constraint public.log_old.later; constraint type=c; definition=CHECK ((model > 1)) NOT VALID; valid=false",
		"constraint public.log_old.log_at_not_null; constraint type=n; definition=NOT NULL at",
		"constraint public.log_old.log_id_not_null; constraint type=n; definition=NOT NULL id",
		"constraint public.log_old.log_lvl_check; constraint type=c; definition=CHECK (public.ok(lvl))",
		"index public.log_old.log_old_idx_log_note; definition=CREATE INDEX log_old_idx_log_note ON ONLY public.log_old USING btree (note) WHERE (lvl = 'high'::public.level)",
		"index public.log_old.log_old_lower; comment=by note; definition=CREATE INDEX log_old_lower ON ONLY public.log_old USING btree (lower(note) DESC) INCLUDE (took)",
		"constraint public.log_old.log_old_model_key; constraint type=u; definition=UNIQUE (model, at) DEFERRABLE",
		"constraint public.log_old.log_old_pkey; constraint type=p; definition=PRIMARY KEY (id, at)",
		"index public.log_old.log_old_ää_a_name_that_is_as_long_as_a_name_may_be_a_" + digest + "; definition=CREATE INDEX \"log_old_ää_a_name_that_is_as_long_as_a_name_may_be_a_" + digest + "\" ON ONLY public.log_old USING btree (model)",
		"constraint public.log_old.log_serial_no_not_null; constraint type=n; definition=NOT NULL serial_no",
		"column public.log_old.lvl; type=public.level",
		"column public.log_old.model; type=integer",
		"constraint public.log_old.never_enforced; constraint type=c; definition=CHECK ((model > 0)) NOT ENFORCED; valid=false",
		"column public.log_old.note; collation=pg_catalog.\"C\"; comment=free text; compression=pglz; storage=external; type=text",
		"column public.log_old.serial_no; not null=true; type=integer",
		"column public.log_old.stored_took; expression=(took * (3)::double precision); generated=stored; type=interval",
		"column public.log_old.took; not null=true; type=interval",
		"constraint public.log_old.took_it; constraint type=n; definition=NOT NULL took",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// digest ends a name that is too long: the first bytes of SHA-256 over the whole.
const digest = "a58e3077"

// A partition that was detached from the live table can be attached to the archive as it was declared, and back.
func TestADetachedPartitionFitsTheArchive(t *testing.T) {
	r := mustLoad(t, map[string]string{"log.sql": logTable}, withArchive)
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	run := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	run(logTable)
	run(createFromSnapshot(t, r.Snapshot, "log_old")...)
	const bounds = "FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')"
	run("CREATE TABLE log_2024_01 (LIKE log INCLUDING ALL EXCLUDING IDENTITY)", "ALTER TABLE log ATTACH PARTITION log_2024_01 FOR VALUES "+bounds,
		"INSERT INTO models VALUES (7)", "INSERT INTO log (model, at, took) VALUES (7, '2024-01-15 00:00:00+00', '1 s')",
		"ALTER TABLE log DETACH PARTITION log_2024_01", "ALTER TABLE log_old ATTACH PARTITION log_2024_01 FOR VALUES "+bounds)
	if got := queryColumn(t, url, "SELECT concat_ws(' ', model, double_took, stored_took) FROM public.log_old"); cmp.Diff([]string{"7 00:00:02 00:00:03"}, got) != "" {
		t.Errorf("the archive has %v", got)
	}
	// What was made by hand is what was declared.
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	live, err := catalog.Read(t.Context(), tx, r.Scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range catalog.Diff(live, r.Snapshot) {
		t.Errorf("%s %s %v", d.Change, d.Key, d.Deltas)
	}
}

// createFromSnapshot writes a table's DDL from its facts alone, as far as this test's table goes.
func createFromSnapshot(t *testing.T, s *catalog.Snapshot, table string) []string {
	t.Helper()
	var columns, after []string
	partitionBy := ""
	for _, o := range s.Objects {
		switch k := o.Key; {
		case k.Kind == catalog.Table && k.Name == table:
			partitionBy = o.Fact(catalog.FactPartitionKey)
			after = append(after, "COMMENT ON TABLE "+pg.Ident(table)+" IS "+pg.Literal(o.Fact(catalog.FactComment)))
		case k.Kind == catalog.Statistics && strings.Contains(o.Fact(catalog.FactDefinition), " FROM public."+table):
			after = append(after, o.Fact(catalog.FactDefinition))
		case k.Table != table:
		case k.Kind == catalog.Column:
			def := pg.Ident(k.Name) + " " + o.Fact(catalog.FactType)
			if c := o.Fact(catalog.FactCollation); c != "" {
				def += " COLLATE " + c
			}
			if g := o.Fact(catalog.FactGenerated); g != "" {
				def += fmt.Sprintf(" GENERATED ALWAYS AS (%s) %s", o.Fact(catalog.FactExpression), g)
			}
			columns = append(columns, def)
			for fact, sql := range map[string]string{catalog.FactStorage: "STORAGE", catalog.FactCompression: "COMPRESSION"} {
				if v := o.Fact(fact); v != "" {
					after = append(after, "ALTER TABLE "+pg.Ident(table)+" ALTER COLUMN "+pg.Ident(k.Name)+" SET "+sql+" "+v)
				}
			}
			if c := o.Fact(catalog.FactComment); c != "" {
				after = append(after, "COMMENT ON COLUMN "+pg.Ident(table, k.Name)+" IS "+pg.Literal(c))
			}
		case k.Kind == catalog.Constraint:
			after = append(after, "ALTER TABLE "+pg.Ident(table)+" ADD CONSTRAINT "+pg.Ident(k.Name)+" "+o.Fact(catalog.FactDefinition))
		case k.Kind == catalog.Index:
			after = append(after, strings.Replace(o.Fact(catalog.FactDefinition), " ON ONLY ", " ON ", 1))
			if c := o.Fact(catalog.FactComment); c != "" {
				after = append(after, "COMMENT ON INDEX "+pg.Ident(k.Name)+" IS "+pg.Literal(c))
			}
		}
	}
	return append([]string{"CREATE TABLE " + pg.Ident(table) + " (" + strings.Join(columns, ", ") + ") PARTITION BY " + partitionBy}, after...)
}

func TestAPlainTableHasAPlainArchive(t *testing.T) {
	r := mustLoad(t, map[string]string{"a.sql": "CREATE TABLE e (id serial PRIMARY KEY, at timestamptz(3) DEFAULT now())"}, func(o *desired.Options) {
		o.Archives = []config.Archive{{Table: config.Table{Schema: "public", Name: "e"}, Into: config.Table{Schema: "public", Name: "e_old"}, Column: "at", Pos: policyPos}}
	})
	if got := fact(t, r, catalog.TableKey("public", "e_old"), catalog.FactPartitionKey); got != "" {
		t.Errorf("it is partitioned by %s", got)
	}
	if got := fact(t, r, column("e_old", "id"), catalog.FactDefault); got != "" {
		t.Errorf("its id has the default %s", got)
	}
}

func TestPoliciesThatCannotBe(t *testing.T) {
	const tables = `CREATE TABLE plain (id integer, at timestamptz, txt text);
CREATE TABLE log (id integer, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE days ("The Day" date) PARTITION BY RANGE ("The Day");
CREATE TABLE ids (id uuid) PARTITION BY RANGE (id);
CREATE TABLE listed (k text) PARTITION BY LIST (k);
CREATE TABLE numbered (n integer) PARTITION BY RANGE (n);
CREATE TABLE pair (a date, b date) PARTITION BY RANGE (a, b);
CREATE TABLE expr (a timestamp) PARTITION BY RANGE (date_trunc('day', a));
CREATE TABLE legacy (a date) PARTITION BY RANGE (a);
CREATE VIEW v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;`
	table := func(name string) config.Table { return config.Table{Schema: "public", Name: name} }
	line := 0
	pos := func() config.Pos { line++; return config.Pos{File: "atlas.hcl", Line: line, Column: 1} }
	partition := func(name string) config.Partition { return config.Partition{Table: table(name), Pos: pos()} }
	_, err := load(t, map[string]string{"a.sql": tables}, func(o *desired.Options) {
		o.Exclude = []string{"public.legacy"}
		o.Partitions = []config.Partition{partition("missing"), partition("plain"), partition("listed"), partition("numbered"), partition("pair"), partition("expr"),
			partition("log"), partition("days"), partition("ids"), partition("legacy")}
		o.Archives = []config.Archive{
			{Table: table("missing"), Into: table("missing_old"), Column: "at", Pos: pos()},
			{Table: table("plain"), Into: table("plain_a"), Column: "nope", Pos: pos()},
			{Table: table("plain"), Into: table("plain_b"), Column: "txt", Pos: pos()},
			{Table: table("plain"), Into: table("plain_c"), Column: "at", Pos: pos()},
			{Table: table("log"), Into: table("log_old"), Column: "at", Pos: pos()},
		}
		o.Refreshes = []config.Refresh{{View: table("m"), Pos: pos()}, {View: table("v"), Pos: pos()}, {View: table("nope"), Pos: pos()}}
	})
	want := `atlas.hcl:1:1: partition "missing": no source declares a table public.missing
atlas.hcl:2:1: partition "plain": table public.plain is not partitioned; declare it with PARTITION BY RANGE over a time column
atlas.hcl:3:1: partition "listed": table public.listed is partitioned by LIST (k); only RANGE over one column can be kept, and it has no other column that its branches could be divided by
atlas.hcl:4:1: partition "numbered": table public.numbered is partitioned by n, which is integer; only timestamps, dates and UUIDv7 have a place in time
atlas.hcl:5:1: partition "pair": table public.pair is partitioned by RANGE (a, b); only RANGE over one column can be kept
atlas.hcl:6:1: partition "expr": table public.expr is partitioned by an expression, RANGE (date_trunc('day'::text, a)); only RANGE over one column can be kept
atlas.hcl:10:1: partition "legacy": no source declares a table public.legacy (it is excluded)
atlas.hcl:11:1: archive "missing": no source declares a table public.missing
atlas.hcl:12:1: archive "plain": table public.plain has no column "nope"
atlas.hcl:13:1: archive "plain": column "txt" of table public.plain is text; only timestamps and dates have a place in time
atlas.hcl:15:1: archive "log": table public.log is partitioned: put an archive block into its partition block
atlas.hcl:17:1: refresh "v": public.v is a view; only materialised views are refreshed
atlas.hcl:18:1: refresh "nope": no source declares a materialised view public.nope`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatAPolicyMakesMayNotBeDeclared(t *testing.T) {
	_, err := load(t, map[string]string{"a.sql": "CREATE TABLE log (at date) PARTITION BY RANGE (at);\nCREATE TABLE log_1 PARTITION OF log DEFAULT;\nCREATE VIEW log_old AS SELECT 1 AS a;"}, withArchive)
	want := `a.sql:2:1: partition public.log_1: a policy of atlas.hcl makes the partitions of table public.log: remove it from the sources
    CREATE TABLE log_1 PARTITION OF log DEFAULT
a.sql:3:1: public.log_old is declared, but the policy at atlas.hcl:7:3 makes it as the archive of public.log: remove it from the sources
    CREATE VIEW log_old AS SELECT 1 AS a`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = load(t, map[string]string{"a.sql": "CREATE TABLE log (at date) PARTITION BY RANGE (at)"}, withArchive, func(o *desired.Options) { o.Archives[0].Into.Schema = "nowhere" })
	if want := "atlas.hcl:7:3: the archive table nowhere.log_old of public.log cannot be made: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// An archive that keeps the foreign keys has the live table's, under its own names; without the word it has none.
func TestAnArchiveThatKeepsForeignKeys(t *testing.T) {
	const tables = `CREATE TABLE m (id integer PRIMARY KEY);
CREATE TABLE e (id bigint, at timestamptz, m integer CONSTRAINT e_m REFERENCES m ON DELETE CASCADE, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE f (id bigint PRIMARY KEY, at timestamptz, up bigint CONSTRAINT f_up REFERENCES f);`
	archive := func(name string, partitioned, keep bool) config.Archive {
		return config.Archive{Table: config.Table{Schema: "public", Name: name}, Into: config.Table{Schema: "public", Name: name + "_old"},
			Partitioned: partitioned, Column: "at", KeepForeignKeys: keep, Pos: policyPos}
	}
	partitions := []config.Partition{{Table: config.Table{Schema: "public", Name: "e"}, Pos: policyPos}}
	key := catalog.Key{Kind: catalog.Constraint, Schema: "public", Table: "e_old", Name: "e_old_m"}
	for _, keep := range []bool{true, false} {
		r := mustLoad(t, map[string]string{"a.sql": tables}, func(o *desired.Options) {
			o.Partitions, o.Archives = partitions, []config.Archive{archive("e", true, keep)}
		})
		if o, ok := r.Snapshot.Lookup(key); ok != keep || keep && o.Fact(catalog.FactDefinition) != "FOREIGN KEY (m) REFERENCES public.m(id) ON DELETE CASCADE" {
			t.Errorf("keep %v: %v %+v", keep, ok, o)
		}
	}
	_, err := load(t, map[string]string{"a.sql": tables}, func(o *desired.Options) { o.Archives = []config.Archive{archive("f", false, true)} })
	if err == nil || !strings.Contains(err.Error(), "atlas.hcl:7:3: archive of public.f: keep_foreign_keys: f_up points to the table itself") {
		t.Errorf("got %v", err)
	}
}

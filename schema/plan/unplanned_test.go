package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// What PostgreSQL or pgtender cannot change in place is an error that names the object, what differs and what to do.
func TestUnplannedIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, object, why string }{
		"label removed under a domain": {"CREATE TYPE e AS ENUM ('a', 'b'); CREATE DOMAIN d AS e", "CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN d AS e", "domain public.d",
			"it depends on enum public.e, which has to be dropped and made again"},
		"labels moved in a partition key": {"CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (e e) PARTITION BY LIST (e)",
			"CREATE TYPE e AS ENUM ('b', 'a'); CREATE TABLE t (e e) PARTITION BY LIST (e)", "column public.t.e", "it is in the partition key of table public.t"},
		"domain type": {"CREATE DOMAIN d AS int", "CREATE DOMAIN d AS bigint", "domain public.d",
			"no statement for this change: type is integer, declared is bigint"},
		"partition key": {"CREATE TABLE t (a int, b int) PARTITION BY LIST (a)", "CREATE TABLE t (a int, b int) PARTITION BY LIST (b)", "table public.t",
			"cannot change how a table is partitioned"},
		"partitioned from now on": {"CREATE TABLE t (a int)", "CREATE TABLE t (a int) PARTITION BY LIST (a)", "table public.t", "cannot change how a table is partitioned"},
		"partition key's type": {"CREATE TABLE t (a int) PARTITION BY LIST (a)", "CREATE TABLE t (a bigint) PARTITION BY LIST (a)", "column public.t.a",
			"it is in the partition key of table public.t"},
		"function of a domain": {"CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE DOMAIN d AS int CHECK (f(VALUE) > 0)",
			"CREATE FUNCTION f(int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE DOMAIN d AS int CHECK (f(VALUE) > 0)",
			"domain public.d", "it depends on function public.f(integer), which has to be dropped and made again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := plan.Make(snapshot(t, c.old), snapshot(t, c.new), plan.Options{})
			var unplanned *plan.UnplannedError
			if !errors.As(err, &unplanned) {
				t.Fatalf("no UnplannedError but %v", err)
			}
			if r := unplanned.Refusals[0]; len(unplanned.Refusals) != 1 || r.What != c.object || !strings.Contains(r.Why, c.why) || r.Advice == "" {
				t.Errorf("refusals: %+v", unplanned.Refusals)
			}
		})
	}
}

// unmanaged has one object of each kind that is not compared.
var unmanaged = map[string]string{
	"operator public.###(integer, integer)":         "CREATE OPERATOR ### (function = int4pl, leftarg = int, rightarg = int)",
	"text search configuration public.x":            "CREATE TEXT SEARCH CONFIGURATION x (COPY = simple)",
	"text search dictionary public.x":               "CREATE TEXT SEARCH DICTIONARY x (TEMPLATE = simple)",
	"operator family public.x":                      "CREATE OPERATOR FAMILY x USING btree",
	"conversion public.x":                           "CREATE CONVERSION x FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
	"typed table public.x":                          "CREATE TYPE y AS (a int); CREATE TABLE x OF y",
	"foreign table public.x":                        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE x (a int) SERVER s",
	"foreign server s":                              "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w",
	"event trigger x":                               "CREATE SCHEMA other; CREATE FUNCTION other.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER x ON sql_drop EXECUTE FUNCTION other.f()",
	"range type with a canonical function public.x": "CREATE TYPE x; CREATE FUNCTION can(x) RETURNS x LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical'; CREATE TYPE x AS RANGE (subtype = integer, canonical = can)",
	"shell type public.x":                           "CREATE TYPE x",
	"operator class public.x":                       "CREATE OPERATOR CLASS x FOR TYPE int USING btree AS FUNCTION 1 btint4cmp(int, int)",
	"text search parser public.x":                   "CREATE TEXT SEARCH PARSER x (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
	"text search template public.x":                 "CREATE TEXT SEARCH TEMPLATE x (LEXIZE = dsimple_lexize)",
	"language x":                                    "CREATE LANGUAGE x HANDLER plpgsql_call_handler",
	"access method x":                               "CREATE ACCESS METHOD x TYPE TABLE HANDLER heap_tableam_handler",
	"foreign-data wrapper w":                        "CREATE FOREIGN DATA WRAPPER w",
	"user mapping postgres on s":                    "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR postgres SERVER s",
	"transform for integer language sql":            "CREATE FUNCTION f(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'numeric_support'; CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))",
	"publication x":                                 "CREATE PUBLICATION x",
	"cast integer AS jsonb":                         "CREATE FUNCTION f(int) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb($1)'; CREATE CAST (int AS jsonb) WITH FUNCTION f(int)",
	"privileges public.t":                           "CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC",
	"partition public.t_1":                          "CREATE TABLE t (a int) PARTITION BY LIST (a); CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1)",
	"default privileges of role postgres on types":  "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC",
}

// outside are those of them that are no difference: they are in no schema, or rights where none is declared.
var outside = []string{"foreign server", "event trigger", "language", "access method", "foreign-data wrapper", "user mapping", "transform", "publication", "cast", "privileges", "default privileges"}

// In the sources each is refused by name; in the target each is listed in the plan, which leaves it alone, and is a difference if it is in a
// managed schema.
func TestUnmanagedIsNeverSilent(t *testing.T) {
	t.Parallel()
	for what, sql := range unmanaged {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			with, empty := snapshot(t, sql), snapshot(t, "")
			_, err := plan.Make(empty, with, plan.Options{})
			var unplanned *plan.UnplannedError
			if !errors.As(err, &unplanned) || !strings.Contains(err.Error(), what+": the sources declare it") {
				t.Errorf("declared: %v", err)
			}
			for _, u := range with.Unmanaged {
				if want := slices.Contains(outside, u.Kind); u.Outside != want {
					t.Errorf("%s is outside the managed schemas: %v", u, u.Outside)
				}
			}
			managed := *with
			managed.Unmanaged = nil
			p, err := plan.Make(with, &managed, plan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !p.Empty() || !strings.Contains(text(t, p), "--   "+what) {
				t.Errorf("in the target:\n%s", text(t, p))
			}
		})
	}
}

// A fact that the planner has never heard of is refused, not passed over.
func TestUnknownFactIsRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range catalog.Kinds() {
		k := catalog.Key{Kind: kind, Schema: "s", Table: "t", Name: "n"}
		with := func(value string) *catalog.Snapshot {
			return &catalog.Snapshot{Objects: []catalog.Object{{Key: k, Facts: []catalog.Fact{{Name: "frobnication", Value: value}}}}}
		}
		_, err := plan.Make(with("a"), with("b"), plan.Options{})
		var unplanned *plan.UnplannedError
		if !errors.As(err, &unplanned) || !strings.Contains(err.Error(), string(kind)+" s.t.n: pgtender has no statement for this change: frobnication is a, declared is b") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func snapshot(t *testing.T, sql string) *catalog.Snapshot {
	t.Helper()
	conn := pgtest.Session(t, pgtest.Database(t))
	if _, err := conn.Exec(t.Context(), "SET search_path = public; "+sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return read(t, conn, catalog.Scope{Schemas: []string{"public"}})
}

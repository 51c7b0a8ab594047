package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/plan"
)

// Of a database full of extensions, with another team's tables beside the managed schema, nothing of theirs is ever planned: neither when all is as
// declared, nor when everything of the managed schema changes or goes.
func TestOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	extensions := []string{"pg_trgm", "hstore", "citext", "cube", "earthdistance", "ltree", "btree_gist", "btree_gin", "intarray", "unaccent", "postgres_fdw", "pg_stat_statements", "seg", "isn"}
	var setup []string
	for _, x := range extensions {
		setup = append(setup, "CREATE EXTENSION "+x)
	}
	setup = append(setup, "CREATE SCHEMA theirs", "CREATE TYPE theirs.e AS ENUM ('a')", "CREATE FUNCTION theirs.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
		"CREATE EVENT TRIGGER theirs ON ddl_command_end EXECUTE FUNCTION theirs.f()", "ALTER DEFAULT PRIVILEGES IN SCHEMA theirs GRANT SELECT ON TABLES TO pg_monitor")
	for i := range 20 {
		setup = append(setup, fmt.Sprintf("CREATE TABLE theirs.t%d (id serial PRIMARY KEY, e theirs.e, n int CHECK (n > 0), UNIQUE (n))", i))
	}
	setup = append(setup, "CREATE TABLE theirs.parts (id int) PARTITION BY LIST (id)", "CREATE TABLE theirs.parts_1 PARTITION OF theirs.parts DEFAULT",
		"CREATE VIEW theirs.v AS SELECT * FROM theirs.t1", "CREATE TABLE public.mine (id int, tag ltree, v text)", "CREATE INDEX mine_v ON public.mine USING gin (v gin_trgm_ops)")
	pgtest.Exec(t, url, setup...)
	const theirs = `SELECT string_agg(d, ';' ORDER BY d) FROM (
		SELECT pg_describe_object(classid, objid, objsubid) || deptype::text AS d FROM pg_depend e JOIN pg_extension x ON e.refclassid = 'pg_extension'::regclass AND e.refobjid = x.oid
		UNION ALL SELECT c.oid::regclass::text || c.relkind::text || coalesce(c.relacl::text, '') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'theirs'
		UNION ALL SELECT evtname::text FROM pg_event_trigger) x`
	conn := pgtest.Session(t, url)
	before := ""
	if err := conn.QueryRow(t.Context(), theirs).Scan(&before); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		"CREATE EXTENSION ltree; CREATE EXTENSION pg_trgm; CREATE TABLE mine (id int, tag ltree, v text); CREATE INDEX mine_v ON mine USING gin (v gin_trgm_ops)",
		"CREATE EXTENSION citext; CREATE TABLE mine (id bigint, v citext); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT SELECT ON mine TO pg_monitor",
		"CREATE TYPE e AS ENUM ('b')",
	} {
		e := engineFor(t, url, source, nil)
		p := mustPlan(t, e)
		for _, s := range p.Statements {
			if s.Object.Schema != "public" || strings.Contains(s.SQL, "theirs") {
				t.Errorf("planned: %s", s.SQL)
			}
		}
		if _, err := e.Apply(t.Context(), p, schema.ApplyOptions{AllowHazards: plan.HazardNames()}); err != nil {
			t.Fatal(err)
		}
		after := ""
		if err := conn.QueryRow(t.Context(), theirs).Scan(&after); err != nil || after != before {
			t.Errorf("what is theirs has changed, %v:\n%s\n%s", err, before, after)
		}
	}
}

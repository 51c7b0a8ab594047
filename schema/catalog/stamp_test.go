package catalog

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// unstamped are the system catalogs that hold nothing that is read, or that this role might not read: with the reason.
var unstamped = map[string]string{
	"pg_auth_members": "members are no fact", "pg_authid": "pg_roles stands for it", "pg_database": "one row of it is stamped", "pg_db_role_setting": "settings are no fact",
	"pg_largeobject": "data", "pg_largeobject_metadata": "data", "pg_parameter_acl": "of the server", "pg_replication_origin": "of the server",
	"pg_shdepend": "follows from others, and is of all databases", "pg_shdescription": "of the server", "pg_shseclabel": "of the server", "pg_statistic": "measurements",
	"pg_statistic_ext_data": "measurements", "pg_subscription": "only some columns may be read: stamped by name", "pg_subscription_rel": "changes as replication goes on",
	"pg_user_mapping": "pg_user_mappings stands for it",
}

func TestEveryCatalogIsStampedOrNot(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	rows, err := conn.Query(t.Context(), "SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if _, left := unstamped[name]; left == slices.Contains(stamped[:], name) {
			t.Errorf("%s: neither stamped nor left out for a reason, or both", name)
		}
	}
	if len(all) != len(stamped)+len(unstamped) {
		t.Errorf("%d catalogs, %d stamped, %d left out", len(all), len(stamped), len(unstamped))
	}
}

// TestStamp changes a schema in many ways; each must change the stamp, and looking, writing and vacuuming must not.
func TestStamp(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.t (a int PRIMARY KEY, b text DEFAULT 'x', CHECK (a > 0))", "CREATE VIEW public.v AS SELECT a FROM public.t",
		"CREATE SEQUENCE public.s", "CREATE TYPE public.e AS ENUM ('a', 'b')", "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"CREATE FUNCTION public.g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "CREATE TRIGGER tr BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.g()",
		"CREATE INDEX i ON public.t (b)", "CREATE FUNCTION public.evt() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'", "CREATE FUNCTION public.ei(public.e) RETURNS int LANGUAGE sql AS 'SELECT 1'")
	conn := pgtest.Session(t, pgtest.Role(t, url)) // whoever may connect
	stamp := func() string {
		t.Helper()
		s, err := Stamp(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := stamp()
	for _, quiet := range []string{"INSERT INTO public.t SELECT generate_series(1, 1000)", "UPDATE public.t SET b = a", "ANALYZE public.t", "VACUUM public.t", "VACUUM FREEZE public.t",
		"SELECT nextval('public.s')", "VACUUM pg_catalog.pg_class", "VACUUM FREEZE pg_catalog.pg_attribute", "SELECT * FROM public.v"} {
		pgtest.Exec(t, url, quiet)
		if s := stamp(); s != now {
			t.Errorf("%s changed the stamp", quiet)
			now = s
		}
	}
	for _, change := range []string{
		"ALTER TABLE public.t ADD COLUMN c int", "ALTER TABLE public.t ALTER b SET DEFAULT 'y'", "ALTER TABLE public.t DROP CONSTRAINT t_a_check", "ALTER TABLE public.t ADD CHECK (a > 1) NOT VALID",
		"ALTER TABLE public.t DISABLE TRIGGER tr", "ALTER TABLE public.t ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON public.t USING (true)", "ALTER TABLE public.t REPLICA IDENTITY FULL",
		"ALTER TABLE public.t SET (fillfactor = 50)", "ALTER TABLE public.t ALTER b SET STORAGE EXTERNAL", "ALTER TABLE public.t ALTER b SET STATISTICS 7", "COMMENT ON COLUMN public.t.a IS 'x'",
		"DROP INDEX public.i", "CREATE OR REPLACE VIEW public.v AS SELECT a FROM public.t WHERE a > 1", "ALTER SEQUENCE public.s INCREMENT 2", "ALTER TYPE public.e ADD VALUE 'c'",
		"CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "ALTER FUNCTION public.f() COST 7", "GRANT SELECT ON public.t TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
		"CREATE STATISTICS public.st ON a, b FROM public.t", "CREATE RULE r AS ON DELETE TO public.t DO INSTEAD NOTHING", "ALTER TABLE public.t RENAME COLUMN b TO d", "CREATE SCHEMA other", "CREATE PUBLICATION pub FOR TABLE public.t",
		"CREATE EXTENSION pg_trgm", "CREATE TABLE public.p (a int) PARTITION BY RANGE (a)", "CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (1) TO (2)", "ALTER TABLE public.p DETACH PARTITION public.p1",
		"DROP PUBLICATION pub", "ALTER TABLE public.t CLUSTER ON t_pkey", "ALTER TABLE public.t SET UNLOGGED", "CREATE DOMAIN public.d AS int", "ALTER DOMAIN public.d SET NOT NULL", "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION public.evt()",
		"CREATE CAST (public.e AS int) WITH FUNCTION public.ei(public.e)", "DROP TABLE public.t CASCADE",
	} {
		pgtest.Exec(t, url, change)
		if s := stamp(); s == now {
			t.Errorf("%s did not change the stamp", change)
		} else {
			now = s
		}
	}
}

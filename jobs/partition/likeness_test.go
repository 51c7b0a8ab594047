package partition

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

const richTable = `
CREATE TABLE public.m (id bigint PRIMARY KEY);
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE COLLATION public.c (provider = icu, locale = 'und', deterministic = true);
CREATE TABLE public.t (
	gone text, id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint REFERENCES public.m ON DELETE CASCADE, n serial,
	a int CHECK (a < 1000), b int GENERATED ALWAYS AS (a * 2) STORED, v int GENERATED ALWAYS AS (a * 3) VIRTUAL,
	s text COLLATE public.c DEFAULT 'x', tags text[] DEFAULT '{}', j jsonb,
	CONSTRAINT weak CHECK (a > -5) NOT ENFORCED, CONSTRAINT known UNIQUE NULLS NOT DISTINCT (s, at), PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
ALTER TABLE public.t DROP COLUMN gone;
ALTER TABLE public.t ALTER s SET STORAGE external;
CREATE INDEX ON public.t (m) INCLUDE (a);
CREATE INDEX ON public.t (lower(s) DESC NULLS LAST) WHERE a > 0;
CREATE INDEX ON public.t USING gin (tags);
CREATE INDEX ON public.t USING brin (at) WITH (pages_per_range = 8);
CREATE TRIGGER tr AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();
CREATE TRIGGER off AFTER UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();
ALTER TABLE public.t DISABLE TRIGGER off;
CREATE POLICY p ON public.t USING (true);
`

// likeness is what of a partition must be as PARTITION OF makes it, without what its name goes into.
const likeness = `
SELECT 'column ' || attnum || ' ' || concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attislocal, attinhcount,
       attstorage, attcompression, attcollation::regcollation, pg_get_expr(adbin, adrelid))
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = $1::regclass AND attnum > 0
UNION ALL
SELECT 'constraint ' || concat_ws(' ', CASE WHEN contype IN ('p', 'u') THEN contype::text ELSE conname END, pg_get_constraintdef(oid), conislocal, coninhcount,
       conparentid <> 0, convalidated, conenforced)
FROM pg_constraint WHERE conrelid = $1::regclass AND conname <> 'pgtender_bounds'
UNION ALL
SELECT 'index ' || concat_ws(' ', substring(pg_get_indexdef(indexrelid) FROM ' USING .*'), indisunique, indisvalid, inhparent::regclass, reltablespace)
FROM pg_index JOIN pg_class c ON c.oid = indexrelid LEFT JOIN pg_inherits ON inhrelid = indexrelid WHERE indrelid = $1::regclass
UNION ALL
SELECT 'trigger ' || concat_ws(' ', CASE WHEN tgisinternal THEN '' ELSE tgname END, tgfoid::regproc, tgtype, tgenabled, tgparentid <> 0) FROM pg_trigger WHERE tgrelid = $1::regclass
UNION ALL
SELECT 'table ' || concat_ws(' ', relkind, relpersistence, reltablespace, relam, relhasrules) FROM pg_class WHERE oid = $1::regclass
ORDER BY 1`

func TestAPartitionIsWhatPartitionOfMakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, richTable)
	b.mustRun(policy("t", config.Month, 0))
	ours := b.read("t")[0].Children[0].Table
	b.exec("CREATE TABLE public.theirs PARTITION OF public.t FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2000-02-01 00:00+00')")
	// Columns differ in number where one was dropped from the parent: PARTITION OF leaves it out too.
	got, want := b.list(likeness, ident(ours)), b.list(likeness, "public.theirs")
	if !slices.Equal(got, want) {
		t.Errorf("ours:\n%s\nPARTITION OF:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b.exec("INSERT INTO public.m VALUES (1); INSERT INTO public.t (at, m, a, s) SELECT now(), 1, i, i FROM generate_series(1, 10) i")
	if got := b.one("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(b) || ' ' || sum(v) FROM ONLY " + ident(ours)); got != "10 10 110 165" {
		t.Error(got)
	}
	b.exec("DELETE FROM public.m")
	if got := b.one("SELECT count(*)::text FROM public.t"); got != "0" {
		t.Error("the foreign key did not cascade")
	}
}

// user is the role in a connection string.
func user(t *testing.T, connection string) string {
	t.Helper()
	u, err := url.Parse(connection)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

// What PARTITION OF does not give either: who owns it, who may, what is seen, how it is stored and measured.
func TestAPartitionGetsTheRest(t *testing.T) {
	t.Parallel()
	elsewhere := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range []string{"SET allow_in_place_tablespaces = on", "CREATE TABLESPACE partition_test LOCATION ''"} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { pgtest.Exec(t, elsewhere, "DROP TABLESPACE partition_test") })

	b := newBench(t, richTable+`
		ALTER TABLE public.t SET TABLESPACE partition_test; CREATE INDEX there ON public.t (a) TABLESPACE partition_test;
		ALTER TABLE public.t SET ACCESS METHOD heap;
		ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; ALTER TABLE public.t FORCE ROW LEVEL SECURITY;
		ALTER TABLE public.t ALTER a SET STATISTICS 500; ALTER TABLE public.t ALTER a SET (n_distinct = -0.5);
		CREATE STATISTICS public.st (ndistinct) ON a, m FROM public.t; ALTER STATISTICS public.st SET STATISTICS 300;
		COMMENT ON TABLE public.t IS 'the table'; COMMENT ON COLUMN public.t.a IS 'a column';
		ALTER TABLE public.t ALTER s SET NOT NULL; ALTER TABLE public.t REPLICA IDENTITY USING INDEX known;
		CREATE TABLE public.t_before PARTITION OF public.t FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2001-01-01 00:00+00')
			WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 77)`)
	owner, some, other := pgtest.Role(t, b.url), pgtest.Role(t, b.url), pgtest.Role(t, b.url)
	for _, s := range []string{
		`ALTER TABLE public.t OWNER TO "owner"`,
		`REVOKE ALL ON public.t FROM PUBLIC; GRANT SELECT, INSERT ON public.t TO "some" WITH GRANT OPTION; GRANT TRUNCATE ON public.t TO "some"`,
		`GRANT SELECT ON public.t TO PUBLIC; GRANT UPDATE (a, s), REFERENCES (a) ON public.t TO "some"`,
		// What default privileges would add, the parent does not have.
		`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO "other"; ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO PUBLIC`,
	} {
		s = strings.NewReplacer(`"owner"`, user(t, owner), `"some"`, user(t, some), `"other"`, user(t, other)).Replace(s)
		b.exec(s)
	}
	b.mustRun(policy("t", config.Month, 0))
	ours := ident(b.read("t")[0].Children[1].Table)

	same := func(what, query string) {
		t.Helper()
		if got, want := b.list(query, ours), b.list(query, "public.t"); !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%s: %v, the parent has %v", what, got, want)
		}
	}
	same("owner", "SELECT relowner::regrole::text FROM pg_class WHERE oid = $1::regclass")
	same("privileges", `SELECT a.grantor::regrole || ' ' || a.grantee::regrole || ' ' || privilege_type || ' ' || is_grantable
		FROM pg_class, aclexplode(relacl) a WHERE oid = $1::regclass ORDER BY 1`)
	same("column privileges", `SELECT attname || ' ' || a.grantee::regrole || ' ' || privilege_type
		FROM pg_attribute, aclexplode(attacl) a WHERE attrelid = $1::regclass ORDER BY 1`)
	same("row security", "SELECT relrowsecurity || ' ' || relforcerowsecurity FROM pg_class WHERE oid = $1::regclass")
	same("tablespace", "SELECT reltablespace::text FROM pg_class WHERE oid = $1::regclass")
	same("index tablespaces", "SELECT reltablespace::text FROM pg_class JOIN pg_index ON indexrelid = oid WHERE indrelid = $1::regclass ORDER BY 1")
	same("access method", "SELECT relam::text FROM pg_class WHERE oid = $1::regclass")
	same("comments", "SELECT description FROM pg_description WHERE objoid = $1::regclass ORDER BY objsubid")
	same("column statistics", "SELECT attname || attstattarget || attoptions::text FROM pg_attribute WHERE attrelid = $1::regclass AND (attstattarget IS NOT NULL OR attoptions IS NOT NULL)")
	same("extended statistics", "SELECT pg_get_statisticsobjdef_columns(oid) || stxstattarget FROM pg_statistic_ext WHERE stxrelid = $1::regclass")
	same("replica identity", "SELECT relreplident::text || pg_get_constraintdef(c.oid) FROM pg_class r JOIN pg_index ON indrelid = r.oid AND indisreplident JOIN pg_constraint c ON conindid = indexrelid WHERE r.oid = $1::regclass")
	// A parent has no storage parameters; the partition before has.
	const storage = "SELECT r.reloptions::text || o.reloptions::text FROM pg_class r JOIN pg_class o ON o.oid = r.reltoastrelid WHERE r.oid = $1::regclass"
	if got, want := b.one(storage, ours), b.one(storage, "public.t_before"); got != want {
		t.Errorf("storage parameters %s, want %s", got, want)
	}
}

func TestReplicaIdentityFullAndNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.f (at timestamptz) PARTITION BY RANGE (at); ALTER TABLE public.f REPLICA IDENTITY FULL;
		CREATE TABLE public.n (at timestamptz) PARTITION BY RANGE (at); ALTER TABLE public.n REPLICA IDENTITY NOTHING;
		CREATE PUBLICATION partition_test FOR TABLE public.f`)
	b.mustRun(policy("f", config.Month, 0), policy("n", config.Month, 0))
	got := b.list("SELECT left(relname, 1) || relreplident::text FROM pg_class WHERE relispartition ORDER BY 1")
	if !slices.Equal(got, []string{"ff", "nn"}) {
		t.Error(got)
	}
	if got := b.list("SELECT tablename::text FROM pg_publication_tables WHERE pubname = 'partition_test'"); len(got) != 1 || !strings.HasPrefix(got[0], "f_") {
		t.Errorf("published: %v", got)
	}
}

// A role that is a member of the owner, and nothing more, can do it; one that is not is told what it may not.
func TestAsAMemberOfTheOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t, richTable)
	owner := user(t, pgtest.Role(t, b.url))
	b.exec(fmt.Sprintf(`ALTER TABLE public.t OWNER TO %[1]s; GRANT CREATE, USAGE ON SCHEMA public TO %[1]s; GRANT REFERENCES ON public.m TO %[1]s`, owner))
	stranger := New(pgtest.Pool(t, pgtest.Role(t, b.url)), time.UTC)
	r, err := stranger.Run(t.Context(), (&record{}).run(false), policy("t", config.Month, 1))
	if err == nil || r.Outcome != jobs.Failure || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "pgtender grants") {
		t.Errorf("%+v, %v", r, err)
	}
	member := pgtest.Role(t, b.url, "GRANT "+owner+" TO {role}")
	b.job.Pool = pgtest.Pool(t, member)
	b.mustRun(policy("t", config.Month, 1))
	if got := b.list("SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relispartition AND relkind = 'r'"); !slices.Equal(got, []string{owner}) {
		t.Errorf("owned by %v, want %s", got, owner)
	}
}

// Time below tenants: every branch is provided for. Tenants below time: a new month is divided like the one before.
func TestSubPartitions(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
		CREATE TABLE public.tl (tenant text, at timestamptz, id int GENERATED ALWAYS AS IDENTITY, m int REFERENCES public.m) PARTITION BY LIST (tenant);
		CREATE TABLE public.tl_a PARTITION OF public.tl FOR VALUES IN ('a') PARTITION BY RANGE (at);
		CREATE TABLE public.tl_h PARTITION OF public.tl DEFAULT PARTITION BY HASH (id);
		CREATE TABLE public.tl_h0 PARTITION OF public.tl_h FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY RANGE (at);
		CREATE TABLE public.tl_h1 PARTITION OF public.tl_h FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY RANGE (at);
		CREATE TABLE public.lt (tenant text, at timestamptz, id int GENERATED ALWAYS AS IDENTITY, m int REFERENCES public.m, PRIMARY KEY (id, at, tenant)) PARTITION BY RANGE (at);
		CREATE TABLE public.lt_2019 PARTITION OF public.lt FOR VALUES FROM ('2019-01-01 00:00+00') TO ('2020-01-01 00:00+00') PARTITION BY LIST (tenant);
		CREATE TABLE public.lt_2019_a PARTITION OF public.lt_2019 FOR VALUES IN ('a', NULL) WITH (fillfactor = 50);
		CREATE TABLE public.lt_2019_rest PARTITION OF public.lt_2019 DEFAULT PARTITION BY HASH (id);
		CREATE TABLE public.odd PARTITION OF public.lt_2019_rest FOR VALUES WITH (MODULUS 1, REMAINDER 0)`)
	r := b.mustRun(policy("tl", config.Month, 1), policy("lt", config.Year, 1))
	if !strings.HasPrefix(r.Summary, "created 8 partitions") {
		t.Error(r.Summary)
	}
	b.exec(`INSERT INTO public.tl (tenant, at, m) SELECT t, now() + n * interval '15 days', 1 FROM unnest(ARRAY['a', 'b', 'c', 'd', NULL]) t, generate_series(0, 1) n;
		INSERT INTO public.lt (tenant, at, m) SELECT t, now() + n * interval '180 days', 1 FROM unnest(ARRAY['a', 'b']) t, generate_series(0, 2) n`)
	year := time.Now().UTC().Year()
	all := b.list("SELECT relid::regclass || ' ' || pg_get_expr(relpartbound, oid) || coalesce(reloptions::text, '') FROM pg_partition_tree('public.lt') JOIN pg_class ON oid = relid WHERE level > 1 ORDER BY 1")
	for _, want := range []string{
		fmt.Sprintf("lt_%d_a FOR VALUES IN ('a', NULL){fillfactor=50}", year),
		fmt.Sprintf("lt_%d_rest DEFAULT", year),
		fmt.Sprintf("lt_%d_odd FOR VALUES WITH (modulus 1, remainder 0)", year),
	} {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasSuffix(s, want) }) {
			t.Errorf("no %q in %q", want, all)
		}
	}
	if got := b.one("SELECT count(DISTINCT id) || ' ' || count(*) FROM public.lt"); got != "6 6" {
		t.Errorf("identity below the branches: %s", got)
	}
	b.exec("SET session_replication_role = origin; DO $$ BEGIN DELETE FROM public.m; EXCEPTION WHEN foreign_key_violation THEN RETURN; END $$")
	if got := b.one("SELECT count(*)::text FROM public.m"); got != "1" {
		t.Error("the foreign keys of the new branches do not hold")
	}
}

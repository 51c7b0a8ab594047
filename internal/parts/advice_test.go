package parts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// The advice is followed to the letter, on a table that has all that LIKE does not copy.
func TestTheAdviceIsFollowed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	pgtest.Exec(t, url, `CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
		CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
		CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY (INCREMENT 5) PRIMARY KEY, at timestamptz NOT NULL, m int REFERENCES public.m ON DELETE CASCADE, n serial, x text);
		INSERT INTO public.t (at, m) SELECT '2020-01-01Z', 1 FROM generate_series(1, 3);
		CREATE TRIGGER tr BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f(); ALTER TABLE public.t ENABLE ALWAYS TRIGGER tr;
		CREATE POLICY p ON public.t AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (m > 0) WITH CHECK (m > 1);
		ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; ALTER TABLE public.t FORCE ROW LEVEL SECURITY; ALTER TABLE public.t REPLICA IDENTITY FULL;
		COMMENT ON TABLE public.t IS 'it''s t'; GRANT SELECT, INSERT ON public.t TO pg_monitor WITH GRANT OPTION; GRANT UPDATE (x) ON public.t TO PUBLIC;
		CREATE VIEW public.v WITH (security_barrier = true) AS SELECT id, at FROM public.t WHERE m = 1; CREATE PUBLICATION pub FOR TABLE public.t (id, at)`)
	list := func(sql string) string {
		var s string
		if err := pool.QueryRow(t.Context(), "SELECT coalesce(string_agg(x::text, E'\\n' ORDER BY x::text), '') FROM ("+sql+") s(x)").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	const catalog = `SELECT concat_ws(' ', relowner::regrole, relacl, relrowsecurity, relforcerowsecurity, relreplident, obj_description(oid, 'pg_class')) FROM pg_class WHERE oid = 'public.t'::regclass
		UNION ALL SELECT attname || ' ' || attacl::text FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attacl IS NOT NULL
		UNION ALL SELECT concat(pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE tgrelid = 'public.t'::regclass AND NOT tgisinternal
		UNION ALL SELECT concat_ws(' ', polname, polpermissive, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid = 'public.t'::regclass
		UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'public.t'::regclass AND contype = 'f' AND conparentid = 0
		UNION ALL SELECT pg_get_viewdef('public.v'::regclass) || reloptions::text FROM pg_class WHERE oid = 'public.v'::regclass
		UNION ALL SELECT 'published ' || tablename || attnames::text FROM pg_publication_tables
		UNION ALL SELECT 'increment ' || seqincrement || ' ' || seqrelid::regclass::text FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('public.t', 'n')::regclass
		UNION ALL SELECT 'rows ' || count(*) FROM public.v`
	before := list(catalog)
	advice, err := parts.Advise(t.Context(), pool, config.Table{Schema: "public", Name: "t"}, config.Month, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(advice, ":\n")
	script, _, _ = strings.Cut(script, "  COMMIT;\n")
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, s := range strings.Split(script+"  COMMIT;\n", ";\n") {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v\n%s", s, err, advice)
		}
	}
	if after := list(catalog); after != before {
		t.Errorf("before:\n%s\nafter:\n%s\n%s", before, after, advice)
	}
	pgtest.Exec(t, url, "INSERT INTO public.t (at, m) VALUES ('2020-01-02Z', 1)")
	if got := list("SELECT max(id) || ' ' || max(n) FROM public.t"); got != "16 4" {
		t.Errorf("the counters go on with %s", got)
	}
}

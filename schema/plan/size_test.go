package plan_test

import (
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// TestSizesInHazards: what the server has not counted yet is said to be unknown; partitions are added up.
func TestSizesInHazards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, want string }{
		{"never analysed", "CREATE TABLE t (a int); INSERT INTO t SELECT 1", "(size not known yet (never analysed))"},
		{"empty when analysed", "CREATE TABLE t (a int); ANALYZE t; INSERT INTO t SELECT 1", "(size not known yet (empty when last analysed))"},
		{"analysed", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); ANALYZE t", "(about 1,000 rows, 40 kB)"},
		{"no partitions", "CREATE TABLE t (a int) PARTITION BY RANGE (a)", "(it has no partitions, and so no rows)"},
		{"partitions not analysed", "CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF t DEFAULT; INSERT INTO t SELECT 1; ANALYZE ONLY t",
			"(size not known yet (never analysed))"},
		{"some partitions analysed", `CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF t FOR VALUES FROM (0) TO (2000);
			CREATE TABLE q PARTITION OF t DEFAULT; INSERT INTO t SELECT generate_series(1, 1000); ANALYZE p`,
			"(about 1,000 rows, 40 kB, and 1 partition never analysed)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := pgtest.Session(t, pgtest.Database(t))
			exec(t, conn, "SET search_path = public; "+c.sql+"; SET search_path = ''")
			live := read(t, conn, catalog.Scope{Schemas: []string{"public"}, Policies: partitioned(t, conn)})
			empty := read(t, pgtest.Session(t, pgtest.Database(t)), catalog.Scope{Schemas: []string{"public"}})
			p, err := plan.Make(live, empty, plan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if text := text(t, p); !strings.Contains(text, c.want) {
				t.Errorf("no %q in\n%s", c.want, text)
			}
		})
	}
}

// TestPartlyEnforcedForeignKey: a foreign key of which one trigger is off is told of in words, and made whole.
func TestPartlyEnforcedForeignKey(t *testing.T) {
	t.Parallel()
	const tables = "CREATE TABLE public.p (id int PRIMARY KEY); CREATE TABLE public.c (a int REFERENCES public.p);"
	scope := catalog.Scope{Schemas: []string{"public"}}
	conn, other := pgtest.Session(t, pgtest.Database(t)), pgtest.Session(t, pgtest.Database(t))
	exec(t, conn, tables+`DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE public.c DISABLE TRIGGER %I', tgname)
		FROM pg_trigger WHERE tgrelid = 'public.c'::regclass ORDER BY tgname LIMIT 1); END $$`)
	exec(t, other, tables)
	p, err := plan.Make(read(t, conn, scope), read(t, other, scope), plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "constraint public.c.c_a_fkey: it is enforced only in part, since some of its triggers are disabled (ALTER TABLE … DISABLE TRIGGER), " +
		"declared is enforced, with all its triggers enabled"
	if text := text(t, p); !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

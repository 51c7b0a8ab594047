package checks

import (
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func plainEnv() *config.Env { return &config.Env{Schemas: []string{"public"}} }

// excluding is an env that leaves what matches alone.
func excluding(pattern string) *config.Env {
	return &config.Env{Schemas: []string{"public"}, Exclude: []config.Pattern{{Text: pattern}}}
}

// one is a threshold that one of a kind reaches.
var one = from(1, 0)

// informs plants what a check only tells of, with and without a threshold, then applies the remedy and wants nothing left.
func (b *bench) informs(check func(env *config.Env, l limits) Check, plant []string, texts ...string) Finding {
	b.t.Helper()
	if f := b.want(check(plainEnv(), one), "", OK); f.Value != 0 {
		b.t.Fatalf("before: %+v", f)
	}
	b.exec(plant...)
	if f := b.want(check(plainEnv(), limits{}), "", OK, texts...); f.Value != 1 {
		b.t.Errorf("value %g, want 1: %s", f.Value, f.Message)
	}
	if f := b.want(check(excluding("public.*"), one), "", OK); f.Value != 0 {
		b.t.Errorf("excluded: %+v", f)
	}
	f := b.want(check(plainEnv(), one), "", Warning, texts...)
	b.exec(f.Remedy)
	if f := b.want(check(plainEnv(), one), "", OK); f.Value != 0 {
		b.t.Errorf("after the remedy: %+v", f)
	}
	return f
}

func TestNotEnforced(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.p (a int PRIMARY KEY)", "CREATE TABLE public.t (a int CHECK (a > 0))")
	b.informs(notEnforced, []string{"ALTER TABLE public.t ADD CONSTRAINT x FOREIGN KEY (a) REFERENCES public.p NOT ENFORCED"}, "1 constraint NOT ENFORCED: x of public.t")
	b.exec("ALTER TABLE public.t ADD CONSTRAINT y CHECK (a > 1) NOT ENFORCED")
	f := b.want(notEnforced(plainEnv(), one), "", Warning, "y of public.t")
	b.exec(strings.ReplaceAll(f.Remedy, "…", "a > 1"))
	b.want(notEnforced(plainEnv(), one), "", OK)
}

func TestForeignKeyIndex(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.p (a int, b int, UNIQUE (a, b))", "CREATE TABLE public.c (x int, y int)", "CREATE INDEX ON public.c (x) WHERE x > 0", "CREATE INDEX ON public.c (y, x, (x + y))")
	b.exec("ALTER TABLE public.c ADD CONSTRAINT good FOREIGN KEY (x, y) REFERENCES public.p (a, b)", "CREATE TABLE public.d (m int, n int) PARTITION BY RANGE (m)",
		"CREATE TABLE public.d1 PARTITION OF public.d FOR VALUES FROM (0) TO (9)")
	f := b.informs(foreignKeyIndex, []string{`ALTER TABLE public.d ADD CONSTRAINT bare FOREIGN KEY (n, m) REFERENCES public.p (a, b)`}, "1 foreign key without an index: bare of public.d")
	if f.Remedy != "CREATE INDEX ON public.d (n, m);" {
		t.Errorf("remedy %q", f.Remedy)
	}
}

func TestDuplicateIndex(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int PRIMARY KEY, b text, c text)", "CREATE INDEX ON public.t (b, c)", "CREATE INDEX ON public.t (c, b)", "CREATE INDEX ON public.t (b DESC, c)",
		"CREATE INDEX ON public.t (lower(b))", "CREATE INDEX ON public.t (lower(c))", "CREATE INDEX ON public.t (b) WHERE c = 'x'", "CREATE INDEX ON public.t (b) WHERE c = 'y'",
		"CREATE INDEX ON public.t (b) INCLUDE (c)", "CREATE INDEX ON public.t USING hash (b)", "CREATE TABLE public.m (a int) PARTITION BY RANGE (a)", "CREATE INDEX ON public.m (a)",
		"CREATE TABLE public.m1 PARTITION OF public.m FOR VALUES FROM (0) TO (1)")
	f := b.informs(duplicateIndex, []string{"CREATE UNIQUE INDEX again ON public.t (a)"}, "1 index repeated by another: again of public.t")
	if f.Remedy != "DROP INDEX CONCURRENTLY public.again;  -- t_pkey is the same" {
		t.Errorf("remedy %q", f.Remedy)
	}
	b.informs(duplicateIndex, []string{"CREATE INDEX twice ON public.t ((lower(b)))"}, "twice of public.t", "t_lower_idx is the same")
	b.informs(duplicateIndex, []string{"CREATE INDEX twice ON public.m (a)"}, "twice of public.m", "DROP INDEX public.twice")
}

func TestDisabledTrigger(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.p (a int PRIMARY KEY)", "CREATE TABLE public.t (a int CONSTRAINT fk REFERENCES public.p)",
		"CREATE TRIGGER tr BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
	b.informs(disabledTrigger, []string{"ALTER TABLE public.t DISABLE TRIGGER tr"}, "1 disabled trigger: tr of public.t")
	b.informs(disabledTrigger, []string{"ALTER TABLE public.t DISABLE TRIGGER ALL", "ALTER TABLE public.t ENABLE TRIGGER tr"}, "that of constraint fk of public.t", "ENABLE TRIGGER ALL")
}

func TestUnloggedTable(t *testing.T) {
	b := newBench(t)
	b.informs(unloggedTable, []string{"CREATE UNLOGGED TABLE public.u (a int)"}, "1 unlogged table: public.u")
}

func TestSequenceUse(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (id serial, b bigint)", "CREATE SEQUENCE public.loose AS smallint", "CREATE SEQUENCE public.back INCREMENT -1",
		"CREATE SEQUENCE public.round MAXVALUE 10 CYCLE", "CREATE SEQUENCE public.other", "ALTER TABLE public.t ADD s smallint DEFAULT nextval('public.other')")
	check := sequenceUse(plainEnv(), defaults("sequence_use"))
	b.want(check, "", OK, "no sequence is near its end")
	b.exec("SELECT setval('public.t_id_seq', 1600000000), setval('public.loose', 31000), setval('public.round', 9), setval('public.other', 25000), setval('public.back', -900)")
	b.want(check, "public.t_id_seq", Warning, "74.5 % of its numbers are used up", "into public.t.id, which is integer", "TYPE bigint")
	b.want(check, "public.loose", Critical, "94.6 %", `ALTER SEQUENCE "public"."loose" AS bigint`)
	b.want(check, "public.other", Warning, "into public.t.s, which is smallint")
	b.silent(check, "public.round")
	b.silent(check, "public.back")
	for _, object := range []string{"public.t_id_seq", "public.loose", "public.other"} {
		r := b.ask(check)
		for _, f := range r.Findings {
			if f.Object == object {
				b.exec(f.Remedy)
			}
		}
	}
	if f := b.want(check, "", OK); f.Value > 0.01 {
		t.Errorf("use %g", f.Value)
	}
	b.exec("ALTER SEQUENCE public.back MINVALUE -1000")
	b.want(check, "public.back", Warning, "90.0 %")
}

func TestSequencesThatTheRoleMayNotRead(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (id serial)", "CREATE SEQUENCE public.s", "SELECT setval('public.s', 9223372036854775807)")
	pool := pgtest.Pool(t, pgtest.Role(t, b.url))
	check := sequenceUse(plainEnv(), defaults("sequence_use"))
	r := ask(t, pool, check)
	if len(r.Findings) != 1 || r.Status() != Unknown || !strings.Contains(r.Findings[0].Message, `may not read 2 sequences: "public"."s", "public"."t_id_seq"`) {
		t.Fatalf("%+v", r.Findings)
	}
	b.exec(r.Findings[0].Remedy)
	if r := ask(t, pool, check); r.Status() != Critical {
		t.Errorf("after the grant: %+v", r)
	}
}

func TestAutovacuumDebt(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int) WITH (autovacuum_enabled = off, autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0)", "CREATE TABLE public.u (a int) WITH (autovacuum_enabled = off)",
		"INSERT INTO public.t SELECT generate_series(1, 100)", "INSERT INTO public.u SELECT generate_series(1, 100)")
	check := autovacuumDebt(plainEnv(), defaults("autovacuum_debt"))
	b.want(check, "", OK, "autovacuum keeps up")
	b.exec("DELETE FROM public.t WHERE a <= 30", "DELETE FROM public.u WHERE a <= 30")
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_dead_tuples('public.t'::regclass) = 30 AND pg_stat_get_dead_tuples('public.u'::regclass) = 30")
	f := b.want(check, "public.t", Warning, "about 30 dead rows, 3.0 times what should set autovacuum off; autovacuum is off for it", "RESET (autovacuum_enabled)")
	if f.Value != 3 {
		t.Errorf("value %g", f.Value)
	}
	b.silent(check, "public.u") // 30 of 50
	b.exec("ALTER TABLE public.t SET (autovacuum_enabled = on)")
	f = b.want(check, "public.t", Warning, "VACUUM (VERBOSE, ANALYZE)")
	b.exec(f.Remedy)
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_dead_tuples('public.t'::regclass) = 0")
	b.silent(check, "public.t")
	b.exec("ALTER TABLE public.u SET (autovacuum_vacuum_max_threshold = 5)")
	b.want(check, "public.u", Warning, "6.0 times")
}

func TestNeverAnalyzed(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int) WITH (autovacuum_enabled = off)", "CREATE TABLE public.few (a int) WITH (autovacuum_enabled = off)",
		"CREATE TABLE public.p (a int) PARTITION BY RANGE (a)", "CREATE TABLE public.q PARTITION OF public.p FOR VALUES FROM (0) TO (5000) PARTITION BY RANGE (a)",
		"CREATE TABLE public.q1 PARTITION OF public.q FOR VALUES FROM (0) TO (5000) WITH (autovacuum_enabled = off)")
	check := neverAnalyzed(plainEnv())
	b.want(check, "", OK, "every table with rows has statistics")
	b.exec("INSERT INTO public.t SELECT generate_series(1, 1500)", "INSERT INTO public.few SELECT 1", "INSERT INTO public.p SELECT generate_series(1, 2000)")
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_live_tuples('public.t'::regclass) = 1500 AND pg_stat_get_live_tuples('public.q1'::regclass) = 2000")
	b.want(check, "public.t", Warning, "about 1500 rows and no statistics")
	b.want(check, "public.q1", Warning)
	b.want(check, "public.q", Warning, "which autovacuum never makes")
	f := b.want(check, "public.p", Warning, "the partitioned table has about 2000 rows")
	b.silent(check, "public.few")

	// While somebody has a partition for himself it is seen all the same.
	_, end := b.session("LOCK TABLE public.q1, public.t IN ACCESS EXCLUSIVE MODE")
	b.want(check, "public.p", Warning)
	end()
	b.exec(f.Remedy, "VACUUM public.t") // which counts the rows, and makes no statistics
	b.want(check, "public.t", Warning)
	b.exec("ANALYZE public.t")
	for _, gone := range []string{"public.p", "public.q", "public.q1", "public.t"} {
		b.silent(check, gone)
	}
	b.want(check, "", OK)

	// A crash empties what the server remembers of its use: what ANALYZE found is there all the same.
	b.exec("SELECT pg_stat_reset()", "VACUUM public.t, public.q1")
	b.want(check, "", OK)
	b.exec("CREATE TABLE public.counted (a int) WITH (autovacuum_enabled = off)", "INSERT INTO public.counted SELECT generate_series(1, 3000)", "VACUUM public.counted", "SELECT pg_stat_reset()")
	b.want(check, "public.counted", Warning, "about 3000 rows and no statistics")
	b.exec("ANALYZE public.counted")
	b.silent(check, "public.counted")
}

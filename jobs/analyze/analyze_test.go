package analyze_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/analyze"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// bench is a database with a partitioned table public."Sub's" of two levels, and a job on it.
type bench struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
	task jobs.Task
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, url: pgtest.Database(t)}
	pgtest.Exec(t, b.url,
		`CREATE TABLE public."Ev's" (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at)`,
		`CREATE TABLE public.ev_1 PARTITION OF public."Ev's" FOR VALUES FROM ('2026-01-01+00') TO ('2026-02-01+00')`,
		`CREATE TABLE public.ev_2 PARTITION OF public."Ev's" FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00') PARTITION BY LIST (id)`,
		`CREATE TABLE public.ev_2_x PARTITION OF public.ev_2 DEFAULT`,
		"CREATE TABLE public.plain (id int)")
	b.as(b.url, config.Table{Schema: "public", Name: "Ev's"}, config.Table{Schema: "public", Name: "plain"})
	if err := state.Ensure(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) as(url string, tables ...config.Table) {
	b.t.Helper()
	pool, err := pg.Open(b.t.Context(), url, 2)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	schedule, err := cron.ParseStandard(analyze.Spec)
	if err != nil {
		b.t.Fatal(err)
	}
	b.pool, b.task = pool, analyze.New(pool, tables, schedule, analyze.Spec)
}

func (b *bench) run() (jobs.Result, error) {
	return b.task.Run(context.Background(), &jobs.Run{ID: 1, Say: func(string, ...any) {}})
}

func (b *bench) want(outcome jobs.Outcome, summary string) {
	b.t.Helper()
	got, err := b.run()
	if err != nil || got.Outcome != outcome || got.Summary != summary {
		b.t.Fatalf("got %+v, %v; want %s: %s", got, err, outcome, summary)
	}
}

// change runs a statement and sees to it that the counters show it.
func (b *bench) change(sql string) {
	b.t.Helper()
	pgtest.Exec(b.t, b.url, sql+"; SELECT pg_stat_force_next_flush()")
}

func (b *bench) insert(from, to int, day string) {
	b.t.Helper()
	b.change(fmt.Sprintf(`INSERT INTO public."Ev's" SELECT g, '%s' FROM generate_series(%d, %d) AS g`, day, from, to))
}

const (
	both  = "analysed public.Ev's, public.ev_2"
	fresh = "statistics of 2 partitioned tables are fresh"
)

func TestAnalyzeWhenEnoughChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(jobs.Noop, fresh) // empty
	b.insert(1, 1000, "2026-02-10Z")
	b.want(jobs.Success, both)
	pgtest.Eventually(t, b.url, `SELECT count(*) = 4 AND bool_and(inherited) FROM pg_stats WHERE schemaname = 'public' AND tablename IN ('Ev''s', 'ev_2')`)
	pgtest.Eventually(t, b.url, `SELECT NOT EXISTS (SELECT FROM pg_stats WHERE tablename = 'ev_2_x')`) // ONLY
	b.want(jobs.Noop, fresh)

	// The leaves' own statistics do not count: autovacuum resets them.
	b.insert(1, 100, "2026-02-10Z") // 100 of 1100: below 50 + 110
	b.change("ANALYZE public.ev_2_x")
	b.want(jobs.Noop, fresh)
	b.insert(1, 100, "2026-02-10Z") // 200 of 1200: above 50 + 120
	b.want(jobs.Success, both)

	// A leaf beside the sub-partitioned table: only the root is concerned.
	b.insert(1, 1000, "2026-01-10Z")
	b.want(jobs.Success, "analysed public.Ev's")
	b.change("UPDATE public.ev_1 SET id = -id")
	b.want(jobs.Success, "analysed public.Ev's")
}

func TestAnalyzeCountsPartitionsThatComeAndGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	b.insert(1, 1000, "2026-02-10Z")
	b.want(jobs.Success, both)
	b.change(`ALTER TABLE public."Ev's" DETACH PARTITION public.ev_1`)
	b.want(jobs.Success, "analysed public.Ev's")
	b.change(`ALTER TABLE public."Ev's" ATTACH PARTITION public.ev_1 FOR VALUES FROM ('2026-01-01+00') TO ('2026-02-01+00')`)
	b.want(jobs.Success, "analysed public.Ev's")
	b.change("SELECT pg_stat_reset_single_table_counters('public.ev_1'::regclass)")
	b.want(jobs.Success, "analysed public.Ev's")
	b.want(jobs.Noop, fresh)
	// Made anew under the same name.
	b.change(`DROP TABLE public."Ev's"`)
	b.change(`CREATE TABLE public."Ev's" (id int) PARTITION BY LIST (id)`)
	b.change(`CREATE TABLE public.ev_all PARTITION OF public."Ev's" DEFAULT`)
	b.change(`INSERT INTO public."Ev's" VALUES (1)`)
	b.want(jobs.Success, "analysed public.Ev's")
}

func TestAnalyzeAfterTruncateAndWithoutStatistics(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	b.insert(1, 10, "2026-02-10Z")
	b.want(jobs.Success, both)
	b.want(jobs.Noop, fresh)
	b.change("TRUNCATE public.ev_1")
	got, err := b.run()
	if err != nil || got.Summary != "analysed public.Ev's" || !strings.HasPrefix(fmt.Sprint(got.Detail["public.Ev's"].(map[string]any)["why"]), "1000 changes since it was analysed") {
		t.Fatalf("%+v, %v", got, err)
	}
	b.want(jobs.Noop, fresh)
	b.change(`DELETE FROM pg_statistic WHERE starelid = 'public."Ev''s"'::regclass`)
	b.want(jobs.Success, "analysed public.Ev's")
	b.want(jobs.Noop, fresh)
}

func TestSomebodyElsesAnalyzeCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	b.want(jobs.Success, "analysed public.Ev's")
	b.insert(1, 1000, "2026-01-10Z")
	b.change(`ANALYZE public."Ev's"`)
	b.want(jobs.Noop, fresh)
	b.insert(1, 200, "2026-01-10Z") // 200 of 2200 since then: below 50 + 220
	b.want(jobs.Noop, fresh)
	b.insert(1, 200, "2026-01-10Z")
	b.want(jobs.Success, "analysed public.Ev's")
}

func TestAnalyzeNamesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	role := pgtest.Role(t, b.url, "GRANT USAGE ON SCHEMA pgtender TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA pgtender TO {role}")
	missing := config.Table{Schema: "public", Name: "nowhere"}
	table := config.Table{Schema: "public", Name: "Ev's"}
	b.as(role, table, missing)
	_, err := b.run()
	if err == nil || !strings.Contains(err.Error(), "analyze public.nowhere: there is no such table") {
		t.Errorf("got %v", err)
	}
	_, grant, found := strings.Cut(fmt.Sprint(err), "run: ")
	if !found {
		t.Fatalf("got %v, want a GRANT in it", err)
	}
	grant, _, _ = strings.Cut(grant, "\n")
	pgtest.Exec(t, b.url, grant)
	if got, err := b.run(); err == nil || got.Summary != "analysed public.Ev's" {
		t.Errorf("with that grant: %+v, %v; want it done, and the missing table still missed", got, err)
	}
	b.as(role, table)
	b.want(jobs.Noop, fresh)
}

func TestAnalyzeWaitsForLocksGently(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	conn, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE public."Ev's" IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		got, err := b.run()
		if err == nil && got.Outcome != jobs.Success {
			err = fmt.Errorf("%+v", got)
		}
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ANALYZE%')")
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestADryRunOnADatabaseThatIsNotKnownYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(1, 1000, "2026-01-10Z")
	pgtest.Exec(t, b.url, "DROP SCHEMA pgtender CASCADE")
	var said []string
	_, err := b.task.Run(t.Context(), &jobs.Run{DryRun: true, Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	if err != nil || len(said) != 1 || said[0] != `ANALYZE ONLY "public"."Ev's";  -- never analysed` {
		t.Errorf("said %q, %v", said, err)
	}
	pgtest.Eventually(t, b.url, "SELECT last_analyze IS NULL FROM pg_stat_user_tables WHERE relname = 'Ev''s'")
}

// A policy names a branch alone: the statistics of the tables above it are nobody else's to keep.
func TestAnalyzeAboveABranch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.as(b.url, config.Table{Schema: "public", Name: "ev_2"})
	b.insert(1, 1000, "2026-02-10Z")
	b.want(jobs.Success, both)
	b.want(jobs.Noop, fresh)
}

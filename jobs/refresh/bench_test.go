package refresh

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// An unchanged view of a million rows: when = "auto" beside "always", in the same run. "decision-wal-B" is the WAL of looking,
// "skip-wal-B" that of a whole run with its rows in pgtender's own tables, which says that it was skipped.
func BenchmarkUnchangedMillion(b *testing.B) {
	server := pgtest.Private(b)
	url := pgtest.DatabaseOn(b, server)
	pgtest.Exec(b, url, "CREATE TABLE public.base (id int PRIMARY KEY, v text)",
		"INSERT INTO public.base SELECT i, 'row number ' || i FROM generate_series(1, 1000000) i", "VACUUM ANALYZE public.base",
		"CREATE MATERIALIZED VIEW public.million AS SELECT id, upper(v) AS v FROM public.base", "CREATE UNIQUE INDEX ON public.million (id)",
		"VACUUM ANALYZE public.million")
	pool := pgtest.Pool(b, url)
	if err := state.Ensure(b.Context(), pool); err != nil {
		b.Fatal(err)
	}
	auto := policy("million")
	auto.When = config.RefreshAuto
	benchRun(b, pool, auto, false, jobs.Noop) // it rewrites no row, but lays the ground
	var least [2]time.Duration
	var looked int64 = -1
	var skipped int64
	for b.Loop() {
		always, _ := benchRun(b, pool, policy("million"), false, jobs.Noop)
		benchRun(b, pool, auto, false, jobs.Noop)
		for range 5 {
			took, wal := benchRun(b, pool, auto, false, jobs.Skipped)
			if least[0] == 0 || took < least[0] {
				least[0], skipped = took, wal
			}
			if _, wal := benchRun(b, pool, auto, true, jobs.Noop); looked < 0 || wal < looked { // the server now and then logs who runs
				looked = wal
			}
		}
		if least[1] == 0 || always < least[1] {
			least[1] = always
		}
	}
	ratio := float64(least[1]) / float64(least[0])
	b.ReportMetric(float64(least[1].Microseconds())/1000, "always-ms")
	b.ReportMetric(float64(least[0].Microseconds())/1000, "auto-ms")
	b.ReportMetric(ratio, "x-less-time")
	b.ReportMetric(float64(looked), "decision-wal-B")
	b.ReportMetric(float64(skipped), "skip-wal-B")
	if ratio < 500 {
		b.Errorf("skipping takes a %.0fth of a refresh, want a 500th", ratio)
	}
	if looked != 0 {
		b.Errorf("looking wrote %d bytes of WAL", looked)
	}
}

// benchRun runs the task and returns its time and the WAL of the whole server meanwhile.
func benchRun(b *testing.B, pool *pgxpool.Pool, p config.Refresh, dry bool, want jobs.Outcome) (time.Duration, int64) {
	b.Helper()
	lsn := func() (n int64) {
		if err := pool.QueryRow(b.Context(), "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	task := Tasks(&config.Env{Refreshes: []config.Refresh{p}}, Options{Pool: pool})[0]
	before, start := lsn(), time.Now()
	result, err := task.Run(b.Context(), &jobs.Run{ID: 1, DryRun: dry, Say: func(string, ...any) {},
		Commit: func(ctx context.Context, tx pgx.Tx, r jobs.Result) error {
			_, err := tx.Exec(ctx, "INSERT INTO pgtender.run (job, target, trigger, outcome, finished_at, summary) VALUES ('refresh', $1, 'manual', $2, now(), $3)",
				p.View.String(), string(r.Outcome), r.Summary)
			return err
		}})
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	if result.Outcome != want {
		b.Fatalf("%s: %s, want %s", result.Outcome, result.Summary, want)
	}
	return took, lsn() - before
}

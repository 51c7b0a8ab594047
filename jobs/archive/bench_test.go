package archive

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// monthOf makes a live table with one month of 1.5 million rows that is due, and its archive.
func monthOf(b *testing.B) string {
	b.Helper()
	url := pgtest.Database(b)
	pgtest.Exec(b, url, `CREATE TABLE public.m (id bigint PRIMARY KEY); INSERT INTO public.m SELECT generate_series(1, 100);
		CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint REFERENCES public.m, x text, y numeric, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON public.t (m, at);
		CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
		CREATE TABLE public.t_old PARTITION OF public.t (CONSTRAINT pgtender_bounds CHECK (at IS NOT NULL AND at >= '2020-01-01 00:00:00+00'::timestamptz AND at < '2020-02-01 00:00:00+00'::timestamptz))
			FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
		INSERT INTO public.t (at, m, x, y) SELECT '2020-01-01 00:00+00'::timestamptz + i * interval '1 second', 1 + i % 100, 'record ' || i, i / 7.0 FROM generate_series(1, 1500000) i`, "VACUUM ANALYZE public.t_old")
	return url
}

// Moving the month as the job does, without the count that follows the move.
func BenchmarkMoveMonth(b *testing.B) {
	for range b.N {
		b.StopTimer()
		url := monthOf(b)
		pool, err := pg.Open(b.Context(), url, 2)
		if err != nil {
			b.Fatal(err)
		}
		if err := state.Ensure(b.Context(), pool); err != nil {
			b.Fatal(err)
		}
		job := New(pool, time.UTC)
		rec := &record{}
		var wal string
		mark := "SELECT pg_current_wal_insert_lsn()::text"
		if err := pool.QueryRow(b.Context(), mark).Scan(&wal); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		p, err := job.open(b.Context(), policy("t"))
		if err != nil {
			b.Fatal(err)
		}
		job.moveAll(b.Context(), rec.run(false), p, p.live.Due(p.cut, time.UTC))
		b.StopTimer()
		if len(p.moves) != 1 || len(p.errs) != 0 {
			b.Fatalf("%v %v", p.moves, p.errs)
		}
		var bytes float64
		if err := pool.QueryRow(b.Context(), fmt.Sprintf("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '%s')", wal)).Scan(&bytes); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes/1024, "WAL-kB/op")
		pool.Close()
	}
}

// Moving the month as it is usually done: INSERT … SELECT and DELETE.
func BenchmarkInsertDeleteMonth(b *testing.B) {
	for range b.N {
		b.StopTimer()
		url := monthOf(b)
		pgtest.Exec(b, url, "CREATE TABLE public.t_archive_old PARTITION OF public.t_archive FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')")
		b.StartTimer()
		pgtest.Exec(b, url, strings.Join([]string{"BEGIN", "INSERT INTO public.t_archive SELECT * FROM public.t WHERE at < '2020-02-01 00:00+00'", "DELETE FROM public.t WHERE at < '2020-02-01 00:00+00'", "COMMIT"}, ";"))
	}
}

package archive

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// onDisk is a server like one that keeps its data: a commit waits for the disk, and nothing but the work writes WAL. No checkpoint
// begins on its own: after one each page is written into the WAL anew, so the figure would depend on where in the work it fell.
func onDisk(b *testing.B) *devpg.Server {
	b.Helper()
	return pgtest.PrivateOnDisk(b, "fsync=on", "synchronous_commit=on", "full_page_writes=on", "autovacuum=off", "max_wal_size=16GB")
}

// monthOf makes a live table with one month of 1.5 million rows that is due, and its archive.
func monthOf(b *testing.B, server *devpg.Server) string {
	b.Helper()
	url := pgtest.DatabaseOn(b, server)
	pgtest.Exec(b, url, `CREATE TABLE public.m (id bigint PRIMARY KEY); INSERT INTO public.m SELECT generate_series(1, 100);
		CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint REFERENCES public.m, x text, y numeric, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON public.t (m, at); CREATE INDEX ON public.t (at);
		CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
		CREATE TABLE public.t_old PARTITION OF public.t (CONSTRAINT pgtender_bounds CHECK (at IS NOT NULL AND at >= '2020-01-01 00:00:00+00'::timestamptz AND at < '2020-02-01 00:00:00+00'::timestamptz))
			FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
		INSERT INTO public.t (at, m, x, y) SELECT '2020-01-01 00:00+00'::timestamptz + i * interval '1 second', 1 + i % 100, 'record ' || i, i / 7.0 FROM generate_series(1, 1500000) i`, "VACUUM ANALYZE public.t_old", "ALTER TABLE public.t_old SET (autovacuum_enabled = off)")
	return url
}

// meter is what a piece of work took.
type meter struct {
	took time.Duration
	cpu  time.Duration // of all the server's processes
	wal  float64       // bytes
}

// cpuOf is the time that the processor has worked for a server: its postmaster, the children that have ended, and those that live. Unlike the time
// that passes it hardly depends on what else the machine does. Source: proc_pid_stat(5); fields 14 to 17, in hundredths of a second.
func cpuOf(b *testing.B, postmaster int) (sum time.Duration) {
	b.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third
		count := 2
		if path == fmt.Sprintf("/proc/%d/stat", postmaster) {
			count = 4
		} else if fields[1] != strconv.Itoa(postmaster) {
			continue
		}
		for _, field := range fields[11 : 11+count] {
			ticks, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

func measured(b *testing.B, server *devpg.Server, pool *pgxpool.Pool, work func()) (m meter) {
	b.Helper()
	var mark string
	if err := pool.QueryRow(b.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&mark); err != nil {
		b.Fatal(err)
	}
	begun, cpu := time.Now(), cpuOf(b, server.PID)
	work()
	m.took, m.cpu = time.Since(begun), cpuOf(b, server.PID)-cpu
	if err := pool.QueryRow(b.Context(), "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::float8", mark).Scan(&m.wal); err != nil {
		b.Fatal(err)
	}
	return m
}

func ready(b *testing.B, url string) *pgxpool.Pool {
	b.Helper()
	pool := pgtest.Pool(b, url)
	if err := state.Ensure(b.Context(), pool); err != nil {
		b.Fatal(err)
	}
	pgtest.Exec(b, url, "CHECKPOINT")
	return pool
}

const landing = "CREATE TABLE public.t_archive_old PARTITION OF public.t_archive FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')"

// usual is how the month is usually moved: INSERT … SELECT, then DELETE, in one transaction.
func usual(b *testing.B, server *devpg.Server) meter {
	b.Helper()
	url := monthOf(b, server)
	pgtest.Exec(b, url, landing)
	return measured(b, server, ready(b, url), func() {
		pgtest.Exec(b, url, "BEGIN; INSERT INTO public.t_archive SELECT * FROM public.t WHERE at < '2020-02-01 00:00+00'; DELETE FROM public.t WHERE at < '2020-02-01 00:00+00'; COMMIT")
	})
}

// The whole month by DETACH and ATTACH, without the count that follows the move, beside the usual way.
func BenchmarkMonth(b *testing.B) {
	server := onDisk(b)
	for range b.N {
		theirs := usual(b, server)
		pool := ready(b, monthOf(b, server))
		job := New(pool, time.UTC)
		ours := measured(b, server, pool, func() {
			p, err := job.open(b.Context(), policy("t"))
			if err != nil {
				b.Fatal(err)
			}
			if job.moveAll(b.Context(), (&record{}).run(false), p, p.live.Due(p.cut, time.UTC)); len(p.moves) != 1 || len(p.errs) != 0 {
				b.Fatalf("%v %v", p.moves, p.errs)
			}
		})
		b.ReportMetric(float64(ours.took.Microseconds())/1000, "ms")
		b.ReportMetric(float64(theirs.took.Microseconds())/1000, "usual-ms")
		b.ReportMetric(float64(theirs.took)/float64(ours.took), "times-faster")
		b.ReportMetric(ours.wal/1024, "WAL-kB")
		b.ReportMetric(theirs.wal/ours.wal, "times-less-WAL")
	}
}

// byRows moves the same month by rows, and tells of the batches.
func byRows(b *testing.B, server *devpg.Server) (m meter, batches map[string]any) {
	b.Helper()
	url := monthOf(b, server)
	pgtest.Exec(b, url, landing)
	pool := ready(b, url)
	job := New(pool, time.UTC)
	var result jobs.Result
	m = measured(b, server, pool, func() {
		p, err := job.open(b.Context(), byRow("t"))
		if err != nil {
			b.Fatal(err)
		}
		if err := job.moveRows(b.Context(), &rowsRun{(&record{}).run(false)}, p, p.live.Children[0], false); err != nil || p.rowsMoved() != 1500000 {
			b.Fatalf("%d rows, %v", p.rowsMoved(), err)
		}
		result = p.result(false, time.UTC)
	})
	return m, result.Detail["by_row"].([]map[string]any)[0]
}

// The same month by rows, beside the usual way: each round is ours, theirs, theirs, ours, so that what the machine does meanwhile touches both alike;
// medians of all, and the ratios of the best and the worst round. -benchtime 5x makes five rounds.
func BenchmarkRows(b *testing.B) {
	figures := map[string][]float64{}
	note := func(name string, x float64) { figures[name] = append(figures[name], x) }
	for range b.N {
		server := onDisk(b)
		first, batches := byRows(b, server)
		their1, their2 := usual(b, server), usual(b, server)
		second, more := byRows(b, server)
		for _, m := range []meter{first, second} {
			note("ns/row", float64(m.took.Nanoseconds())/1.5e6)
			note("CPU-ns/row", float64(m.cpu.Nanoseconds())/1.5e6)
			note("WAL-B/row", m.wal/1.5e6)
		}
		for _, m := range []meter{their1, their2} {
			note("usual-ns/row", float64(m.took.Nanoseconds())/1.5e6)
			note("usual-CPU-ns/row", float64(m.cpu.Nanoseconds())/1.5e6)
			note("usual-WAL-B/row", m.wal/1.5e6)
		}
		note("of-usual-time", float64(first.took+second.took)/float64(their1.took+their2.took))
		if their1.cpu > 0 { // not where there is no /proc
			note("of-usual-CPU", float64(first.cpu+second.cpu)/float64(their1.cpu+their2.cpu))
		}
		note("longest-ms", float64(max(batches["longest_ms"].(int64), more["longest_ms"].(int64))))
		note("batches", float64(batches["batches"].(int)))
		b.Logf("ours %+v, theirs %+v, theirs %+v, ours %+v", first, their1, their2, second)
	}
	for name, list := range figures {
		slices.Sort(list)
		b.ReportMetric(quantile(list, 0.5), name)
	}
	ratios := figures["of-usual-time"]
	b.ReportMetric(ratios[0], "of-usual-time-best")
	b.ReportMetric(ratios[len(ratios)-1], "of-usual-time-worst")
}

// What a writer of 400 rows a second meets while the month moves beside a reader of 5 seconds, by both granularities.
func BenchmarkBesideOthers(b *testing.B) {
	for _, how := range []string{"partition", "row"} {
		b.Run(how, func(b *testing.B) {
			server := pgtest.PrivateOnDisk(b, "fsync=on", "synchronous_commit=on", "full_page_writes=on")
			for range b.N {
				url := monthOf(b, server)
				pgtest.Exec(b, url, "CREATE TABLE public.t_now PARTITION OF public.t FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2100-01-01 00:00+00')")
				if how == "row" {
					pgtest.Exec(b, url, landing)
				}
				pool := ready(b, url)
				job := New(pool, time.UTC)
				alone := latencies(b, url, func() { time.Sleep(5 * time.Second) })
				reader := pgtest.Session(b, url)
				beside := latencies(b, url, func() {
					over := make(chan error, 1)
					go func() {
						_, err := reader.Exec(b.Context(), "BEGIN; SELECT count(*) FROM public.t; SELECT pg_sleep(5); COMMIT")
						over <- err
					}()
					pgtest.Eventually(b, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(5)%' AND pid <> pg_backend_pid() AND datname = current_database())")
					if _, err := job.Run(b.Context(), (&record{}).run(false), byRow("t")); err != nil {
						b.Fatal(err)
					}
					if err := <-over; err != nil {
						b.Fatal(err)
					}
				})
				b.ReportMetric(quantile(alone, 0.99), "p99-alone-ms")
				b.ReportMetric(quantile(beside, 0.99), "p99-beside-ms")
				b.ReportMetric(quantile(beside, 1), "max-beside-ms")
			}
		})
	}
}

// latencies are those of a writer of 400 rows a second while something is done, in milliseconds, ascending.
func latencies(b *testing.B, url string, during func()) []float64 {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	conn := pgtest.Session(b, url)
	done := make(chan []float64)
	go func() {
		var list []float64
		tick := time.NewTicker(2500 * time.Microsecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			begun := time.Now()
			if _, err := conn.Exec(b.Context(), "INSERT INTO public.t (at, m, x, y) VALUES (now(), 1, 'new', 1)"); err != nil {
				b.Error(err)
				break
			}
			list = append(list, float64(time.Since(begun).Microseconds())/1000)
		}
		slices.Sort(list)
		done <- list
	}()
	during()
	stop()
	return <-done
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

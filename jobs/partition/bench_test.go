package partition

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const parents = 50

// parentsSQL makes 50 tables with two years of months each, the present one included.
const parentsSQL = `DO $$ BEGIN FOR i IN 1..50 LOOP
	EXECUTE format('CREATE TABLE public.t%s (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, x text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)', i);
	EXECUTE format('CREATE INDEX ON public.t%s (at)', i);
	FOR j IN 0..23 LOOP CALL public.part('t' || i, 't' || i || '_' || j, public.month(-j), public.month(1 - j)); END LOOP;
	COMMIT; END LOOP; END $$`

// policiesOf want ahead months more for each of the 50 tables.
func policiesOf(ahead int) (policies []config.Partition) {
	for i := range parents {
		policies = append(policies, policy(fmt.Sprintf("t%d", i+1), config.Month, ahead))
	}
	return policies
}

func open(b *testing.B, url string) *pgxpool.Pool {
	b.Helper()
	pool, err := pg.Open(b.Context(), url, 4)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	for range 2 { // connect, and let the sessions read the catalog
		if err := pool.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return pool
}

// middle is the median.
func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func report(b *testing.B, ours, theirs time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours.Microseconds())/1000, "ours-ms")
	b.ReportMetric(float64(theirs.Microseconds())/1000, "theirs-ms")
	b.ReportMetric(float64((ours-theirs).Microseconds())/1000, "more-ms")
}

// One pass over 50 tables of 24 months when nothing is to do, against the same server asked once for every partition's bounds.
func BenchmarkNothingToDo(b *testing.B) {
	url := pgtest.Database(b)
	pgtest.Exec(b, url, monthSQL, parentsSQL, "VACUUM ANALYZE")
	pool, policies := open(b, url), policiesOf(0)
	job := New(pool, time.UTC)
	for range b.N {
		pass50(b, job, policies) // the first one connects
		var ours, theirs []time.Duration
		for range 31 { // in turn, so that what else the machine does meets both alike
			begun := time.Now()
			pass50(b, job, policies)
			ours = append(ours, time.Since(begun))
			begun = time.Now()
			var n int
			if err := pool.QueryRow(b.Context(), `SELECT count(pg_get_expr(c.relpartbound, c.oid)) FROM pg_partitioned_table p JOIN pg_inherits i ON i.inhparent = p.partrelid JOIN pg_class c ON c.oid = i.inhrelid`).Scan(&n); err != nil || n != 24*parents {
				b.Fatal(n, err)
			}
			theirs = append(theirs, time.Since(begun))
		}
		report(b, middle(ours), middle(theirs))
	}
}

func pass50(b *testing.B, job *Job, policies []config.Partition) {
	if r, err := job.Run(b.Context(), (&record{}).run(false), policies...); err != nil || r.Outcome != "noop" {
		b.Fatalf("%+v, %v", r, err)
	}
}

// Four months more for each of 50 tables, against as many CREATE TABLE … PARTITION OF, one statement and one transaction each: on
// a server that writes to the disk at each commit, as servers do, and on one that does not.
func BenchmarkCreate200(b *testing.B) {
	for _, fsync := range []string{"on", "off"} {
		b.Run("fsync="+fsync, func(b *testing.B) {
			server := pgtest.PrivateOnDisk(b, "fsync="+fsync)
			template := pgtest.DatabaseOn(b, server)
			pgtest.Exec(b, template, monthSQL, parentsSQL, "VACUUM ANALYZE")
			n := 0
			clone := func() *pgxpool.Pool {
				n++
				name := fmt.Sprintf("clone%d", n)
				pgtest.Exec(b, server.URL("postgres"), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, strings.Split(path.Base(template), "?")[0]))
				return open(b, server.URL(name))
			}
			for range b.N {
				var ours, theirs []time.Duration
				for range 3 {
					pool, plain := clone(), clone()
					begun := time.Now()
					if _, err := New(pool, time.UTC).Run(b.Context(), (&record{}).run(false), policiesOf(4)...); err != nil {
						b.Fatal(err)
					}
					ours = append(ours, time.Since(begun))
					begun = time.Now()
					partitionOf(b, plain)
					theirs = append(theirs, time.Since(begun))
				}
				report(b, middle(ours), middle(theirs))
			}
		})
	}
}

// partitionOf makes four months more for each of the 50 tables in the plain way.
func partitionOf(b *testing.B, pool *pgxpool.Pool) {
	now := time.Now().UTC()
	month := func(n int) string {
		return time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	}
	for i := range parents {
		for j := 1; j <= 4; j++ {
			sql := fmt.Sprintf("CREATE TABLE public.t%d_ahead%d PARTITION OF public.t%d FOR VALUES FROM ('%s') TO ('%s')", i+1, j, i+1, month(j), month(j+1))
			if _, err := pool.Exec(b.Context(), sql); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// The longest that a writer of 400 rows a second waits while three partitions are made and a reader has a transaction open for
// five seconds: within lock_timeout (100 ms) with pgtender, and as long as the reader with CREATE TABLE … PARTITION OF.
func BenchmarkWriterBesideAReader(b *testing.B) {
	for name, create := range map[string]func(b *testing.B, pool *pgxpool.Pool){
		"pgtender": func(b *testing.B, pool *pgxpool.Pool) {
			if _, err := New(pool, time.UTC).Run(b.Context(), (&record{}).run(false), policy("t", config.Month, 3)); err != nil {
				b.Error(err)
			}
		},
		"PARTITION OF": func(b *testing.B, pool *pgxpool.Pool) {
			if _, err := pool.Exec(b.Context(), "CALL public.part('t', 'a', public.month(1), public.month(2)); CALL public.part('t', 'b', public.month(2), public.month(3)); CALL public.part('t', 'c', public.month(3), public.month(4))"); err != nil {
				b.Error(err)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			url := pgtest.Database(b)
			pgtest.Exec(b, url, monthSQL, `CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
				CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m int REFERENCES public.m, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
				CALL public.part('t', 'now', public.month(0), public.month(1))`)
			for range b.N {
				reader, writer, pool := pgtest.Session(b, url), pgtest.Session(b, url), open(b, url)
				if _, err := reader.Exec(b.Context(), "BEGIN; SELECT count(*) FROM public.t; SELECT count(*) FROM public.m"); err != nil {
					b.Fatal(err)
				}
				var waits []time.Duration
				stop, ended := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					tick := time.NewTicker(time.Second / 400)
					defer tick.Stop()
					for {
						select {
						case <-stop:
							return
						case <-tick.C:
						}
						begun := time.Now()
						if _, err := writer.Exec(b.Context(), "INSERT INTO public.t (at, m) VALUES (now(), 1)"); err != nil {
							b.Error(err)
							return
						}
						waits = append(waits, time.Since(begun))
					}
				}()
				time.AfterFunc(5*time.Second, func() {
					if _, err := reader.Exec(b.Context(), "COMMIT"); err != nil {
						b.Error(err)
					}
					close(stop)
				})
				time.Sleep(time.Second)
				begun := time.Now()
				create(b, pool)
				took := time.Since(begun)
				<-ended
				slices.Sort(waits)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(took.Milliseconds()), "creation-ms")
				b.ReportMetric(float64(waits[len(waits)-1].Milliseconds()), "writer-max-ms")
				b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "writer-p99-ms")
			}
		})
	}
}

package cli_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

const soakFile = `env "local" {
  url     = getenv("DATABASE_URL")
  schemas = ["public"]
  schema { src = ["file://schema.sql"] }
  daemon { listen = "127.0.0.1:0" }
  partition "ev" {
    interval = "month"
    ahead    = 1
    schedule = "@every 2s"
    archive {
      after       = "1 year"
      into        = "ev_archive"
      schedule    = "@every 3s"
      granularity = "row"
    }
  }
  archive "plain" {
    column   = "at"
    after    = "1 year"
    into     = "plain_archive"
    schedule = "@every 2s"
  }
  refresh "mv" {
    schedule = "@every 2s"
    when     = "always"
  }
  job "beat" {
    schedule = "@every 1s"
    sql      = "INSERT INTO public.beat DEFAULT VALUES"
  }
}
`

const soakSQL = `CREATE TABLE ev (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE plain (id bigint PRIMARY KEY, at timestamptz NOT NULL);
CREATE INDEX plain_at ON plain (at);
CREATE TABLE beat (at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM plain;
CREATE UNIQUE INDEX mv_n ON mv (n);
`

// Two daemons under writers, killed and restarted in turn: never do both work on one thing, nobody leads for no longer than fifteen seconds, every row
// is there exactly once, and nothing is left: no session, lock, open run, goroutine, memory.
func TestSoakOfTwoDaemons(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	dir := folder(t, "atlas.hcl", soakFile, "schema.sql", soakSQL)
	if code, out := inProcess(t.Context(), "--config", dir+"/atlas.hcl", "--url", url, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	pgtest.Exec(t, url, "CREATE TABLE ev_old PARTITION OF ev FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2024-02-01 00:00+00')")
	begin := func() *process { return start(t, dir, []string{"DATABASE_URL=" + url}, "run") }
	daemons := [2]*process{begin(), begin()}
	for _, p := range daemons {
		p.ready()
	}
	// A writer: half of its rows are due for the archive at once.
	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int64
	wrote := make(chan error, 1)
	go func() {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			wrote <- err
			return
		}
		defer conn.Close(context.Background())
		for ctx.Err() == nil {
			n := written.Load() + 1
			if _, err := conn.Exec(context.WithoutCancel(ctx), `WITH a AS (INSERT INTO public.plain SELECT $1::bigint, now() - ($1::bigint % 2) * interval '2 years')
				INSERT INTO public.ev SELECT $1::bigint, now() WHERE EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'public.ev'::regclass AND i.inhrelid = to_regclass('public.ev_' || to_char(now(), 'YYYY_MM')))`, n); err != nil {
				wrote <- err
				return
			}
			written.Store(n)
			time.Sleep(20 * time.Millisecond) // some load, not all there is
		}
		wrote <- nil
	}()
	leads := func() int {
		for i, p := range daemons {
			if p.metric("pgtender_leader") == 1 {
				return i
			}
		}
		return -1
	}
	beats := func() int { n, _ := strconv.Atoi(scalar(t, url, "SELECT count(*) FROM beat")); return n }
	rounds := pgtest.Scaled(1, 60)
	for round := range rounds {
		i := leads()
		for ; i < 0; i = leads() {
			pgtest.Eventually(t, url, "SELECT count(*) > $1 FROM beat", beats())
		}
		if round%3 == 2 {
			daemons[i].signal(syscall.SIGTERM)
			daemons[i].wait(patience)
		} else {
			daemons[i].kill()
		}
		before := beats()
		pgtest.Eventually(t, url, "SELECT count(*) > $1 + 1 FROM beat", before) // the other one leads
		daemons[i] = begin()
		daemons[i].ready()
	}
	memory := func(p *process) (heap, goroutines float64) {
		families := p.metrics()
		return families["go_memstats_heap_inuse_bytes"].GetMetric()[0].GetGauge().GetValue(), families["go_goroutines"].GetMetric()[0].GetGauge().GetValue()
	}
	last := daemons[0]
	heap, goroutines := memory(last)
	pgtest.Eventually(t, url, "SELECT count(*) > $1 FROM beat", beats()+pgtest.Scaled(3, 20))
	if h, g := memory(last); h > 3*heap+32<<20 || g > goroutines+20 {
		t.Errorf("heap %.0f, then %.0f; goroutines %.0f, then %.0f", heap, h, goroutines, g)
	}
	stop()
	if err := <-wrote; err != nil {
		t.Errorf("the writer: %v", err)
	}
	for _, p := range daemons {
		p.terminate()
	}
	for what, query := range map[string]string{
		"rows of plain that are not there exactly once": fmt.Sprintf(`SELECT count(*) FROM generate_series(1, %d) i WHERE 1 <> (SELECT count(*) FROM plain p WHERE p.id = i) + (SELECT count(*) FROM plain_archive a WHERE a.id = i)`, written.Load()),
		"rows of plain too many":                        fmt.Sprintf(`SELECT (SELECT count(*) FROM plain) + (SELECT count(*) FROM plain_archive) - %d`, written.Load()),
		"actions of two daemons at a time": `SELECT count(*) FROM pgtender.run a JOIN pgtender.run b ON a.job = b.job AND a.target IS NOT DISTINCT FROM b.target AND a.id < b.id AND a.instance <> b.instance
			WHERE a.outcome = 'success' AND b.outcome = 'success' AND a.started_at < b.finished_at AND b.started_at < a.finished_at`,
		"runs without an outcome":        `SELECT count(*) FROM pgtender.run WHERE outcome IS NULL`,
		"sessions left":                  `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pgtender%' AND pid <> pg_backend_pid()`,
		"advisory locks left":            `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()`,
		"gaps of more than 15 s":         `SELECT count(*) FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM beat) g WHERE gap > interval '16 seconds'`,
		"due rows that were never moved": `SELECT CASE WHEN (SELECT count(*) FROM plain_archive) > 0 THEN 0 ELSE 1 END`,
	} {
		if got := scalar(t, url, query); got != "0" {
			t.Errorf("%s %s", got, what)
		}
	}
	t.Logf("%d rounds, %d rows written, %d archived, longest gap %s, %s runs", rounds, written.Load(), must(strconv.Atoi(scalar(t, url, "SELECT count(*) FROM plain_archive"))),
		scalar(t, url, "SELECT max(gap)::text FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM beat) g"), scalar(t, url, "SELECT count(*) FROM pgtender.run"))
}

func must(n int, err error) int {
	if err != nil {
		panic(err)
	}
	return n
}

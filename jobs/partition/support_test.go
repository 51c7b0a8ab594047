package partition

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// bench is one database, a pool as the daemon has it, and a plain connection for the people around it.
type bench struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
	conn *pgx.Conn
	job  *Job
}

func newBench(t *testing.T, setup string) *bench {
	t.Helper()
	b := &bench{t: t, url: pgtest.Database(t)}
	pgtest.Exec(t, b.url, "SET TimeZone = 'UTC';"+setup)
	b.pool = pgtest.Pool(t, b.url)
	b.conn = b.connect()
	b.job = New(b.pool, time.UTC)
	// Tests that meet a lock wait for it no longer than needed.
	b.job.Patience.MaxPause = 200 * time.Millisecond
	return b
}

// connect opens a session of somebody else's: UTC, and otherwise as the server has it.
func (b *bench) connect() *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(context.Background()) })
	b.execOn(conn, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
	return conn
}

func (b *bench) exec(sql string) { b.t.Helper(); b.execOn(b.conn, sql) }

func (b *bench) execOn(conn *pgx.Conn, sql string) {
	b.t.Helper()
	if _, err := conn.Exec(b.t.Context(), sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// list returns the single column of a query, as text.
func (b *bench) list(sql string, args ...any) []string {
	b.t.Helper()
	rows, err := b.conn.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for _, s := range list {
		if s == nil {
			out = append(out, "null")
		} else {
			out = append(out, *s)
		}
	}
	return out
}

func (b *bench) one(sql string, args ...any) string {
	b.t.Helper()
	list := b.list(sql, args...)
	if len(list) != 1 {
		b.t.Fatalf("%s: %d rows", sql, len(list))
	}
	return list[0]
}

func policy(table string, unit config.Unit, ahead int) config.Partition {
	return config.Partition{Table: config.Table{Schema: "public", Name: table}, Interval: unit, Ahead: ahead}
}

// record is a run that remembers what it was told.
type record struct {
	mu   sync.Mutex
	said []string
}

func (r *record) run(dry bool) *jobs.Run {
	return &jobs.Run{DryRun: dry, Say: func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.said = append(r.said, fmt.Sprintf(format, args...))
	}}
}

func (b *bench) run(policies ...config.Partition) (jobs.Result, error) {
	return b.job.Run(b.t.Context(), (&record{}).run(false), policies...)
}

// mustRun runs the job, and once more: the second time there must be nothing to do.
func (b *bench) mustRun(policies ...config.Partition) jobs.Result {
	b.t.Helper()
	first, err := b.run(policies...)
	if err != nil {
		b.t.Fatal(err)
	}
	second, err := b.run(policies...)
	if err != nil || second.Outcome != jobs.Noop {
		b.t.Fatalf("the second run: %+v, %v", second, err)
	}
	return first
}

// bounds lists the partitions of a table with their bounds, in UTC, in the order of their bounds.
func (b *bench) bounds(table string) []string {
	b.t.Helper()
	var out []string
	for _, s := range b.read(table) {
		for _, c := range s.Children {
			out = append(out, fmt.Sprintf("%s %s", c.Table.Name, s.Key.ForValues(c.Range)))
		}
	}
	return out
}

func (b *bench) read(table string) []parts.Set {
	b.t.Helper()
	sets, err := parts.Read(b.t.Context(), b.pool, []config.Table{{Schema: "public", Name: table}})
	if err != nil {
		b.t.Fatal(err)
	}
	return sets
}

// tables lists all tables of schema public.
func (b *bench) tables() []string {
	b.t.Helper()
	return b.list("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname")
}

// refused runs the job, which must fail with each of the words and change nothing.
func (b *bench) refused(p config.Partition, words ...string) {
	b.t.Helper()
	before := append(b.tables(), b.bounds(p.Table.Name)...)
	r, err := b.run(p)
	if err == nil || r.Outcome != jobs.Failure {
		b.t.Fatalf("not refused: %+v, %v", r, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("%q is not in: %v", w, err)
		}
	}
	if after := append(b.tables(), b.bounds(p.Table.Name)...); !slices.Equal(before, after) {
		b.t.Errorf("changed from %v to %v", before, after)
	}
}

// counter counts what is sent to the server.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(data.SQL, "SET search_path") && data.SQL != pg.Counted { // of a session that the pool has just opened, or was given back
		c.n.Add(1)
	}
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// tap returns a pool like the bench's whose sessions count their queries and collect their notices.
func (b *bench) tap(c *counter, notices *notices) *pgxpool.Pool {
	b.t.Helper()
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.Tracer = c
	cfg.ConnConfig.OnNotice = notices.add
	pool, err := pgxpool.NewWithConfig(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	return pool
}

type notices struct {
	mu   sync.Mutex
	list []string
}

func (n *notices) add(_ *pgconn.PgConn, notice *pgconn.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, notice.Message)
}

func (n *notices) has(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.list, func(s string) bool { return strings.Contains(s, text) })
}

// months writes bounds as months relative to the present one, as SQL: month(0) is the present one's beginning.
const monthSQL = `
CREATE FUNCTION public.month(n int) RETURNS timestamptz LANGUAGE sql STABLE
AS $$ SELECT date_trunc('month', now(), 'UTC') + make_interval(months => n) $$;
CREATE PROCEDURE public.part(parent text, child text, lo timestamptz, hi timestamptz) LANGUAGE plpgsql
AS $$ BEGIN EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', child, parent, lo, hi); END $$;
`

package archive

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimURL) != "" {
		victim()
		return
	}
	os.Exit(pgtest.Main(m))
}

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
	pgtest.Exec(t, b.url, "SET TimeZone = 'UTC';"+monthSQL+setup)
	b.pool = pgtest.Pool(t, b.url)
	if err := state.Ensure(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.conn = b.connect()
	b.job = New(b.pool, time.UTC)
	b.job.Patience.MaxPause = 200 * time.Millisecond // tests that meet a lock wait for it no longer than needed
	return b
}

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

func (b *bench) list(sql string, args ...any) []string {
	b.t.Helper()
	rows, err := b.conn.Query(b.t.Context(), sql, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return list
}

func (b *bench) one(sql string, args ...any) string {
	b.t.Helper()
	list := b.list(sql, args...)
	if len(list) != 1 {
		b.t.Fatalf("%s: %d rows", sql, len(list))
	}
	return list[0]
}

// policy archives public.<table> into public.<table>_archive after a year.
func policy(table string) config.Archive {
	return config.Archive{Table: config.Table{Schema: "public", Name: table}, Into: config.Table{Schema: "public", Name: table + "_archive"},
		Partitioned: true, Interval: config.Month, After: config.Interval{Text: "1 year", Months: 12}, Granularity: config.ByPartition}
}

// record is a run that remembers what it was told.
type record struct {
	mu   sync.Mutex
	said []string
}

func (r *record) run(dry bool) *jobs.Run {
	return &jobs.Run{ID: 42, DryRun: dry, Say: func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.said = append(r.said, fmt.Sprintf(format, args...))
	}}
}

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

func (b *bench) run(p config.Archive) (jobs.Result, error) {
	return b.job.Run(b.t.Context(), (&record{}).run(false), p)
}

// mustRun runs the job, and once more: the second time there must be nothing to do.
func (b *bench) mustRun(p config.Archive) jobs.Result {
	b.t.Helper()
	first, err := b.run(p)
	if err != nil {
		b.t.Fatal(err)
	}
	second, err := b.run(p)
	if err != nil || second.Outcome != jobs.Noop {
		b.t.Fatalf("the second run: %+v, %v", second, err)
	}
	return first
}

// refused runs the job, which must fail with each of the words and move nothing.
func (b *bench) refused(p config.Archive, words ...string) {
	b.t.Helper()
	before := b.everything()
	r, err := b.run(p)
	if err == nil || r.Outcome != jobs.Failure {
		b.t.Fatalf("not refused: %+v, %v", r, err)
	}
	for _, w := range append(words, p.Table.String()) {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("%q is not in: %v", w, err)
		}
	}
	if after := b.everything(); !slices.Equal(before, after) {
		b.t.Errorf("changed from %v to %v", before, after)
	}
}

// everything is which partition belongs where, and the manifest.
func (b *bench) everything() []string {
	b.t.Helper()
	return b.list(`SELECT inhparent::regclass || ' ' || inhrelid::regclass || ' ' || coalesce(pg_get_expr(relpartbound, oid), '') FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind IN ('r', 'p')
		UNION ALL SELECT 'moved ' || partition_name FROM pgtender.archived_partition ORDER BY 1`)
}

// children are the names of a table's partitions in the order of their bounds.
func (b *bench) children(table string) []string {
	b.t.Helper()
	sets, err := parts.Read(b.t.Context(), b.pool, []config.Table{{Schema: "public", Name: table}})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, c := range sets[0].Children {
		names = append(names, c.Table.Name)
	}
	return names
}

// tap returns a pool like the bench's whose sessions collect their notices.
func (b *bench) tap(add func(string)) *pgxpool.Pool {
	b.t.Helper()
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { add(n.Message) }
	pool, err := pgxpool.NewWithConfig(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	return pool
}

// month(0) is the beginning of the present month in UTC; month(-12) holds rows that are younger than a year, month(-13) does not.
const monthSQL = `
CREATE FUNCTION public.month(n int) RETURNS timestamptz LANGUAGE sql STABLE
AS $$ SELECT date_trunc('month', now(), 'UTC') + make_interval(months => n) $$;
CREATE PROCEDURE public.part(parent text, child text, lo timestamptz, hi timestamptz) LANGUAGE plpgsql
AS $$ BEGIN EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', child, parent, lo, hi); END $$;
`

// liveTable has months -16 to 0, called m16 to m0, with 100 rows each: four of them are due.
const liveTable = `
CREATE TABLE public.m (id bigint PRIMARY KEY); INSERT INTO public.m SELECT generate_series(1, 10);
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(new, old); END';
CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint CONSTRAINT of_m REFERENCES public.m ON DELETE CASCADE, n serial,
	a int CHECK (a < 1000), twice int GENERATED ALWAYS AS (a * 2) STORED, thrice int GENERATED ALWAYS AS (a * 3) VIRTUAL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ON public.t (m); CREATE INDEX ON public.t (a) WHERE a > 0;
COMMENT ON TABLE public.t IS 'live'; COMMENT ON COLUMN public.t.a IS 'a column';
CREATE TRIGGER tr AFTER INSERT OR DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON public.t USING (true);
CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
DO $$ BEGIN FOR i IN 0..16 LOOP CALL public.part('t', 'm' || i, public.month(-i), public.month(-i + 1)); END LOOP; END $$;
INSERT INTO public.t (at, m, a) SELECT public.month(-i) + j * interval '5 hours', 1 + j % 10, j FROM generate_series(0, 16) i, generate_series(1, 100) j;
`

package partition

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// aside makes the schema that a move needs.
func (b *bench) aside() *bench {
	b.t.Helper()
	if err := state.Ensure(b.t.Context(), b.pool); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// clean reports what a move has left in the database.
func (b *bench) clean() {
	b.t.Helper()
	if got := b.list(`SELECT relname::text FROM pg_class WHERE relname LIKE 'move\_%' OR relname LIKE 'rest\_new%'
		UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE 'move\_%' UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'pgtender%'
		UNION ALL SELECT conname::text FROM pg_constraint WHERE conname IN ('pgtender_rest', 'pgtender_above') OR conname LIKE 'pgtender_not%'`); len(got) != 0 {
		b.t.Errorf("left in the database: %v", got)
	}
}

// worker repeats f until stop is closed.
func worker(wg *sync.WaitGroup, stop chan struct{}, f func() error, fail func(error)) {
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := f(); err != nil {
				fail(err)
				return
			}
		}
	})
}

// Many rows leave the DEFAULT partition while others read, add, change and delete them: each statement, and each transaction on one
// snapshot, sees every row once, and no change is lost.
func TestManyRowsLeaveTheDefault(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a primary key": ", PRIMARY KEY (id, at)", "without any key": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, x int, twice int GENERATED ALWAYS AS (x * 2) STORED, n int DEFAULT 0`+key+`) PARTITION BY RANGE (at);
				CREATE INDEX ON public.t (at); CREATE TABLE public.rest PARTITION OF public.t DEFAULT;`+monthSQL+`
				INSERT INTO public.t (at, x) SELECT public.month(i % 3) + i * interval '1 second', i FROM generate_series(1, 20000) i;
				INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', -i FROM generate_series(1, 500) i;`).aside()
			stop := make(chan struct{})
			var wg sync.WaitGroup
			fail := func(err error) { t.Error(err) }
			var added, gone, changed, looked atomic.Int64
			const fixed = "SELECT count(*) FROM public.t WHERE x BETWEEN 5001 AND 20000"
			see := func(q pg.Querier, sql string) error {
				var n int
				if err := q.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != 15000 {
					return fmt.Errorf("%d rows are seen: %w", n, err)
				}
				looked.Add(1)
				return nil
			}
			reader, snapshot, inserter, changer, deleter := b.connect(), b.connect(), b.connect(), b.connect(), b.connect()
			worker(&wg, stop, func() error { return see(reader, fixed) }, fail)
			worker(&wg, stop, func() error { // the snapshot is older than the look at the table
				return pgx.BeginTxFunc(t.Context(), snapshot, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
					if _, err := tx.Exec(t.Context(), "SELECT pg_current_snapshot()"); err != nil {
						return err
					}
					time.Sleep(5 * time.Millisecond)
					if err := see(tx, fixed); err != nil {
						return fmt.Errorf("in one snapshot: %w", err)
					}
					return see(tx, fixed+" AND at >= public.month(0)")
				})
			}, fail)
			worker(&wg, stop, func() error {
				_, err := inserter.Exec(t.Context(), "INSERT INTO public.t (at, x) VALUES (now(), 100000)")
				added.Add(1)
				return err
			}, fail)
			worker(&wg, stop, func() error { // some rows change their month
				n := changed.Add(1)
				tag, err := changer.Exec(t.Context(), "UPDATE public.t SET n = n + 1, at = at + interval '3 days' * ($1 % 2) WHERE x = $2", n%2, 5001+n*7%15000)
				if err == nil && tag.RowsAffected() != 1 {
					err = fmt.Errorf("%d rows were changed", tag.RowsAffected())
				}
				return err
			}, fail)
			worker(&wg, stop, func() error {
				if gone.Load() == 5000 {
					time.Sleep(time.Millisecond)
					return nil
				}
				tag, err := deleter.Exec(t.Context(), "DELETE FROM public.t WHERE x = $1", gone.Add(1))
				if err == nil && tag.RowsAffected() != 1 {
					err = fmt.Errorf("%d rows were deleted", tag.RowsAffected())
				}
				return err
			}, fail)
			r := b.mustRun(policy("t", config.Month, 3))
			close(stop)
			wg.Wait()
			if moved, _ := r.Detail["moved_from_default"].(int64); moved < 10000 || looked.Load() == 0 {
				t.Errorf("%d looks, %+v", looked.Load(), r)
			}
			got := b.one(`SELECT concat_ws(' ', count(*), count(DISTINCT id), sum(twice - 2 * x), sum(n), count(*) FILTER (WHERE x = 100000), count(*) FILTER (WHERE x BETWEEN 1 AND 5000),
				(SELECT count(*) FROM public.rest), (SELECT count(*) FROM public.rest WHERE at > '2002-01-01 00:00+00')) FROM public.t`)
			total := 20500 + added.Load() - gone.Load()
			want := fmt.Sprintf("%d %[1]d 0 %d %d %d 500 0", total, changed.Load(), added.Load(), 5000-gone.Load())
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
			b.clean()
			b.exec("INSERT INTO public.t (at, x) SELECT now(), 1 FROM generate_series(1, 10)")
		})
	}
}

// What has not been begun anew: one more thing of every kind that a DEFAULT partition can have.
func TestWhatTakesOverIsLikeTheDefault(t *testing.T) {
	t.Parallel()
	b := newBench(t, richTable+monthSQL+`INSERT INTO public.m SELECT generate_series(1, 5);
		CREATE TABLE public.rest PARTITION OF public.t DEFAULT WITH (fillfactor = 60); CREATE INDEX mine ON public.rest (a, b); COMMENT ON TABLE public.rest IS 'the rest';
		ALTER TABLE public.rest ADD CONSTRAINT small CHECK (a < 500); ALTER TABLE public.rest ALTER a SET STATISTICS 77; GRANT SELECT ON public.rest TO PUBLIC;
		INSERT INTO public.t (at, m, a, s) SELECT public.month(i % 2) + i * interval '1 minute', 1 + i % 5, i % 400, 'row ' || i FROM generate_series(1, 1000) i;
		INSERT INTO public.t (at, m, a, s) SELECT '2001-01-01 00:00+00'::timestamptz + i * interval '1 minute', 1 + i % 5, i % 400, 'old ' || i FROM generate_series(1, 100) i`).aside()
	b.exec("CREATE STATISTICS public.rest_stat (ndistinct) ON a, m FROM public.rest")
	shown := func() []string {
		return append(b.list(likeness, "public.rest"), b.list(`
			SELECT 'index ' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'public.rest'::regclass
			UNION ALL SELECT concat_ws(' ', relowner::regrole, relacl, reloptions, obj_description(oid)) FROM pg_class WHERE oid = 'public.rest'::regclass
			UNION ALL SELECT 'statistics ' || pg_get_statisticsobjdef_columns(oid) FROM pg_statistic_ext WHERE stxrelid = 'public.rest'::regclass
			UNION ALL SELECT attname || attstattarget FROM pg_attribute WHERE attrelid = 'public.rest'::regclass AND attstattarget IS NOT NULL ORDER BY 1`)...)
	}
	digest := "SELECT count(*) || md5(string_agg(t::text, ',' ORDER BY id)) FROM public.t"
	before, rows := shown(), b.one(digest)
	n := &notices{}
	b.job.Pool = b.tap(&counter{}, n)
	b.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_min_messages = debug1', current_database()); END $$`)
	b.mustRun(policy("t", config.Month, 1))
	if after := shown(); !slices.Equal(after, before) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if after := b.one(digest); after != rows {
		t.Errorf("rows %s became %s", rows, after)
	}
	month := b.read("t")[0].Children[0].Table
	for _, table := range []string{"rest", month.Name} {
		if !n.has(fmt.Sprintf("partition constraint for table %q is implied by existing constraints", table)) {
			t.Errorf("%s was read under the lock: %q", table, n.list)
		}
	}
	b.exec("CREATE TABLE public.theirs PARTITION OF public.t FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2000-02-01 00:00+00')")
	if got, want := b.list(likeness, ident(month)), b.list(likeness, "public.theirs"); !slices.Equal(got, want) {
		t.Errorf("ours:\n%s\nPARTITION OF:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b.clean()
}

// Below a tenant, divided further, with rows without a time.
func TestManyRowsLeaveTheDefaultOfABranch(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (tenant text, at timestamp, x int) PARTITION BY LIST (tenant);
		CREATE TABLE public.t_a PARTITION OF public.t FOR VALUES IN ('a') PARTITION BY RANGE (at);
		CREATE TABLE public.t_a_old PARTITION OF public.t_a FOR VALUES FROM (MINVALUE) TO ('2001-01-01') PARTITION BY HASH (x);
		CREATE TABLE public.t_a_old_0 PARTITION OF public.t_a_old FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE public.t_a_old_1 PARTITION OF public.t_a_old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE public.rest PARTITION OF public.t_a DEFAULT;
		INSERT INTO public.t SELECT 'a', now(), i FROM generate_series(1, 300) i; INSERT INTO public.t SELECT 'a', NULL, i FROM generate_series(1, 50) i;
		INSERT INTO public.t SELECT 'a', 'infinity', i FROM generate_series(1, 20) i`).aside()
	// As a role that is a member of the owner, and has the schema pgtender, as `pgtender grants` says.
	owner := user(t, pgtest.Role(t, b.url, "GRANT USAGE, CREATE ON SCHEMA public TO {role}"))
	for _, table := range b.tables() {
		b.exec(fmt.Sprintf("ALTER TABLE public.%s OWNER TO %s", table, owner))
	}
	b.job.Pool = pgtest.Pool(t, pgtest.Role(t, b.url, "GRANT "+owner+" TO {role}", "GRANT pg_monitor TO {role}", "GRANT USAGE, CREATE ON SCHEMA pgtender TO {role}"))
	b.mustRun(policy("t", config.Quarter, 1))
	if got := b.list("SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"); !slices.Equal(got, []string{owner}) {
		t.Errorf("owned by %v", got)
	}
	if got := b.one("SELECT concat_ws(' ', count(*), sum(x), count(*) FILTER (WHERE tableoid = 'public.rest'::regclass)) FROM public.t"); got != "370 46635 70" {
		t.Error(got)
	}
	b.clean()
}

// A reader that goes on for long holds up the last step, and no one else; another pgtender keeps away.
func TestAMoveWaitsForAReader(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`).aside()
	reader, done := b.moving(t.Context())
	client := pgtest.Session(t, pgtest.Role(t, b.url, "GRANT SELECT, INSERT, UPDATE ON public.t TO {role}"))
	b.execOn(client, "INSERT INTO public.t (at, x) VALUES (now(), 1000); UPDATE public.t SET x = 0 WHERE x = 5")
	r, err := New(b.pool, time.UTC).Run(t.Context(), (&record{}).run(false), policy("t", config.Month, 1))
	if err != nil || r.Outcome != jobs.Skipped || !strings.Contains(r.Summary, "another pgtender is moving rows out of public.rest") {
		t.Errorf("the other one: %+v, %v", r, err)
	}
	b.execOn(reader, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.clean()
	if got := b.one("SELECT count(*) || ' ' || count(*) FILTER (WHERE x IN (0, 1000)) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "301 2 0" {
		t.Error(got)
	}
}

// moving starts a run that has copied the rows, and waits for a reader.
func (b *bench) moving(ctx context.Context) (reader *pgx.Conn, done chan error) {
	b.job.Patience.Attempts = 1000
	reader, done = b.connect(), make(chan error)
	b.execOn(reader, "BEGIN; SELECT count(*) FROM public.t")
	go func() {
		_, err := b.job.Run(ctx, (&record{}).run(false), policy("t", config.Month, 1))
		done <- err
	}()
	pgtest.Eventually(b.t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'public.t'::regclass AND mode = 'AccessExclusiveLock')")
	return reader, done
}

// The range that now lies in is never refused while the DEFAULT partition is proved to have no row of it.
func TestALargeDefaultAndRowsOfToday(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', i FROM generate_series(1, 1000) i`).aside()
	b.job.ScanBytes = 1000
	writer := b.connect()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var written atomic.Int64
	worker(&wg, stop, func() error {
		_, err := writer.Exec(t.Context(), "INSERT INTO public.t (at, x) VALUES (now(), 1)")
		written.Add(1)
		return err
	}, func(err error) { t.Error(err) })
	b.mustRun(policy("t", config.Month, 2))
	close(stop)
	wg.Wait()
	if got, want := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"), fmt.Sprintf("%d 1000", 1000+written.Load()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b.clean()
}

// A dry run prints every statement of a move, and changes nothing.
func TestDryRunOfAMove(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`).aside()
	rec := &record{}
	r, err := b.job.Run(t.Context(), rec.run(true), policy("t", config.Month, 1))
	if err != nil || r.Outcome != jobs.Noop || !strings.HasPrefix(r.Summary, "would create 2 partitions") {
		t.Fatalf("%+v, %v", r, err)
	}
	b.clean()
	// Typed by one person, alone, it is what a run does.
	for _, s := range rec.said {
		b.exec(s)
	}
	if r, err := b.run(policy("t", config.Month, 1)); err != nil || r.Outcome != jobs.Noop {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "300 0" {
		t.Error(got)
	}
}

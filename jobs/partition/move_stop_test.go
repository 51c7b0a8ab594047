package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// mortal is a process that dies just before one of its statements: it sends no further one.
type mortal struct {
	left atomic.Int64
	dead context.Context
}

func (m *mortal) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if m.left.Add(-1) < 0 {
		return m.dead
	}
	return ctx
}

func (m *mortal) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Killed between any two statements of a move: nothing is lost, everybody goes on, and the next run does the work.
func TestKilledWhileRowsLeaveTheDefault(t *testing.T) {
	t.Parallel()
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	step := pgtest.Scaled(9, 1)
	for first, over := 1, false; !over; first += step {
		t.Run(fmt.Sprintf("before statement %d", first), func(t *testing.T) { over = !killedBefore(t, dead, first) })
		if t.Failed() {
			return
		}
	}
}

// killedBefore kills a run just before a statement, counted from 1, and looks at what becomes of it. It reports whether there were so many.
func killedBefore(t *testing.T, dead context.Context, first int) (died bool) {
	t.Helper()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0) + i * interval '1 minute', i FROM generate_series(1, 1000) i;
		INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', i FROM generate_series(1, 50) i`).aside()
	m := &mortal{dead: dead}
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.Tracer = m
	m.left.Store(1 << 40)
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	victim := New(pool, time.UTC)
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.left.Store(int64(first))
	_, err = victim.Run(t.Context(), (&record{}).run(false), policy("t", config.Month, 1))
	died = m.left.Load() < 0
	pool.Close()
	if died && err == nil && first > 3 {
		t.Logf("statement %d: it had done its work", first)
	}
	b.exec("INSERT INTO public.t (at, x) SELECT public.month(0), 0 FROM generate_series(1, 10); UPDATE public.t SET x = x + 1; DELETE FROM public.t WHERE x = 2")
	want := b.one("SELECT concat_ws(' ', count(*), sum(x), sum(twice)) FROM public.t")
	b.mustRun(policy("t", config.Month, 1))
	if got := b.one("SELECT concat_ws(' ', count(*), sum(x), sum(twice)) FROM public.t"); got != want || b.one("SELECT count(*)::text FROM public.rest") != "49" {
		t.Fatalf("statement %d: %s became %s", first, want, got)
	}
	b.clean()
	if !died && first < 15 {
		t.Errorf("a whole run took %d statements only", first)
	}
	return died
}

// A run that is told to stop drops the copy at once. What it cannot drop while a reader is there does nothing, and goes with the next run.
func TestAMoveThatIsStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`).aside()
	b.job.Tidy = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, done := b.moving(ctx)
	cancel()
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname LIKE 'move%' AND relkind = 'p' OR relname LIKE 't\\_2%')")
	b.exec("INSERT INTO public.t (at, x) VALUES (now(), 1001); DELETE FROM public.t WHERE x = 7")
	b.execOn(reader, "COMMIT")
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.mustRun(policy("t", config.Month, 1))
	b.clean()
	if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "300 0" {
		t.Error(got)
	}
}

// The server goes on for a while with a statement of a session that is gone. A run that is told to stop waits for it to end, and
// takes its lock for nobody else's.
func TestAMoveThatIsStoppedWhileTheServerGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i;
		CREATE FUNCTION public.deaf(x int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
			LOOP
				BEGIN
					PERFORM pg_advisory_xact_lock_shared(4712) WHERE x = 150;
					RETURN true;
				EXCEPTION WHEN query_canceled THEN -- goes on
				END;
			END LOOP;
		END $$;
		ALTER TABLE public.t ADD CONSTRAINT deaf CHECK (public.deaf(x))`).aside()
	b.job.Tidy = time.Minute
	b.exec("SELECT pg_advisory_lock(4712)")
	asked, noticed := 0, b.connect()
	b.job.Pool = b.watched(func(sql string) {
		if !strings.Contains(sql, "FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid") {
			return
		}
		if asked++; asked == 3 {
			var held bool
			if err := noticed.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4712)").Scan(&held); err != nil || !held {
				t.Errorf("the server goes on: %v, %v", held, err)
			}
			b.exec("SELECT pg_advisory_unlock(4712)")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.job.Run(ctx, (&record{}).run(false), policy("t", config.Month, 1))
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4712)")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || asked < 3 {
		t.Fatalf("%v; it asked %d times whether the session has ended", err, asked)
	}
	b.clean()
	b.mustRun(policy("t", config.Month, 1))
	b.clean()
}

// A statement that was under way when a move was given up goes on: what it writes to is dropped after it.
func TestAStoppedMoveBreaksNoStatement(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`).aside()
	b.job.Tidy = 500 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, done := b.moving(ctx)
	writer, written := b.connect(), make(chan error, 1)
	const insert = "INSERT INTO public.t (at, x) SELECT now(), i FROM generate_series(1, 2) i WHERE i = 1"
	b.execOn(writer, insert) // its session knows the trigger's function now
	b.exec("SELECT pg_advisory_lock(4711)")
	go func() {
		_, err := writer.Exec(context.WithoutCancel(ctx), insert+" OR pg_advisory_lock(4711)::text IS NOT NULL")
		written <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711)")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.exec("SELECT pg_advisory_unlock(4711)")
	if err := <-written; err != nil {
		t.Errorf("a statement that was under way: %v", err)
	}
	b.execOn(reader, "COMMIT")
	b.mustRun(policy("t", config.Month, 1))
	b.clean()
}

// What a run that is stopped cannot take away it names, with the command that does.
func TestAStoppedMoveSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`).aside()
	b.job.Tidy = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, done := b.moving(ctx)
	cancel()
	err := <-done
	var left interface{ Left() string }
	if !errors.Is(err, context.Canceled) || !errors.As(err, &left) {
		t.Fatal(err)
	}
	for _, w := range []string{"pgtender_move", "public.rest", "pgtender job run partition --table public.t"} {
		if !strings.Contains(err.Error(), w) || !strings.Contains(left.Left(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "nothing was changed") {
		t.Error(err)
	}
	b.execOn(reader, "COMMIT")
	b.mustRun(policy("t", config.Month, 1))
	b.clean()
}

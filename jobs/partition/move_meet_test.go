package partition

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

const someInDefault = withDefault + `INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 300) i`

// killTheMovesLock ends the session that says that a move goes on, and no other one of that process.
func (b *bench) killTheMovesLock() {
	b.t.Helper()
	key := pg.LockKey(moveLock(policy("t", config.Month, 1).Table))
	if got := b.list(`SELECT pg_terminate_backend(pid, 10000)::text FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (classid::bigint << 32 | objid::bigint) = $1`, key); len(got) != 1 || got[0] != "true" {
		b.t.Fatalf("sessions that hold the lock of the move: %v", got)
	}
}

const shellIsGone = "SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgtender' AND c.relkind = 'p')"

// One of two processes has lost the session that says that it moves rows. The other one takes over; the first one says why it ended, and
// what the two left is nothing.
func TestAMoveWhoseLockIsLostIsTakenOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, someInDefault).aside()
	reader, done := b.moving(t.Context())
	b.killTheMovesLock()
	other := New(b.pool, time.UTC)
	other.Patience = b.job.Patience
	took := make(chan error, 1)
	go func() {
		_, err := other.Run(t.Context(), (&record{}).run(false), policy("t", config.Month, 1))
		took <- err
	}()
	pgtest.Eventually(t, b.url, shellIsGone)
	b.exec("INSERT INTO public.t (at, x) VALUES (now(), 1000); UPDATE public.t SET x = 0 WHERE x = 5")
	var taken *takenError
	if err := <-done; !errors.As(err, &taken) || !strings.Contains(err.Error(), "No row is lost") || strings.Contains(err.Error(), "are left on") {
		t.Error(err)
	}
	b.execOn(reader, "COMMIT")
	if err := <-took; err != nil {
		t.Error(err)
	}
	b.clean()
	if got := b.one("SELECT count(*) || ' ' || count(*) FILTER (WHERE x IN (0, 1000)) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "301 2 0" {
		t.Error(got)
	}
	b.mustRun(policy("t", config.Month, 1))
}

// A process has read the table just before another one began to move its rows. The triggers that it meets then are no person's: while the
// other one goes on they are left to it, and otherwise cleared away.
func TestAMoveThatBeganSinceTheTableWasRead(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"goes on": false, "has lost its lock": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, someInDefault).aside()
			var reader *pgx.Conn
			var first chan error
			late := New(nil, time.UTC)
			late.Patience = b.job.Patience
			late.Patience.Attempts = 1000
			late.Pool = b.watched(func(sql string) {
				switch {
				case reader == nil && strings.Contains(sql, "is on it alone"):
					if reader, first = b.moving(t.Context()); lost {
						b.killTheMovesLock()
					}
				case lost && strings.Contains(sql, `IN ACCESS EXCLUSIVE`): // the copy is gone, the triggers do nothing
					b.execOn(reader, "COMMIT")
				}
			})
			r, err := late.Run(t.Context(), (&record{}).run(false), policy("t", config.Month, 1))
			if err != nil {
				t.Fatal(err)
			}
			if !lost {
				if r.Outcome != jobs.Skipped || !strings.Contains(r.Summary, "another pgtender is moving rows out of public.rest") || strings.Contains(r.Summary, "trigger") {
					t.Errorf("%+v", r)
				}
				b.execOn(reader, "COMMIT")
				if err := <-first; err != nil {
					t.Error(err)
				}
			} else {
				var taken *takenError
				if err := <-first; !errors.As(err, &taken) || r.Outcome != jobs.Success {
					t.Errorf("%v; %+v", err, r)
				}
			}
			b.clean()
			if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "300 0" {
				t.Error(got)
			}
			b.mustRun(policy("t", config.Month, 1))
		})
	}
}

// Whoever is told to stop later than another one took over takes nothing of that one's away.
func TestAMoveDiscardsItsOwnAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, someInDefault).aside()
	reader, done := b.moving(t.Context())
	set := b.read("t")[0]
	if len(set.Default.Moves) != 1 {
		t.Fatal(set.Default.Moves)
	}
	if err := b.job.discard(t.Context(), &set, []string{"move_1_00000000"}, true); err != nil {
		t.Fatal(err)
	}
	if got := b.list("SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'public.rest'::regclass AND NOT tgisinternal ORDER BY 1"); len(got) != 2 {
		t.Errorf("triggers %v", got)
	}
	// What a move has filled is not somebody's who has taken the names.
	b.job.ScanBytes = 1 << 30
	r, err := b.run(policy("t", config.Month, 0))
	if err != nil || r.Outcome != jobs.Skipped {
		t.Errorf("%+v, %v", r, err)
	}
	rec := &record{}
	if r, err := b.job.Run(t.Context(), rec.run(true), policy("t", config.Month, 0)); err != nil || r.Outcome != jobs.Skipped || len(rec.said) != 0 {
		t.Errorf("%+v, %v, %v", r, err, rec.said)
	}
	b.execOn(reader, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.clean()
}

// A person's trigger that is called like ours is a person's.
func TestATriggerThatIsCalledLikeOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, someInDefault+`; CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER pgtender_move AFTER DELETE ON public.rest FOR EACH ROW EXECUTE FUNCTION public.f()`).aside()
	b.refused(policy("t", config.Month, 0), "trigger pgtender_move", "DISABLE TRIGGER pgtender_move")
}

// A dry run says what of an interrupted move would be dropped before the rest; typed as it says, nothing is left.
func TestDryRunAfterAnInterruptedMove(t *testing.T) {
	t.Parallel()
	b := newBench(t, someInDefault).aside()
	b.job.Tidy = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, done := b.moving(ctx)
	cancel()
	if err := <-done; err == nil {
		t.Fatal("it got through")
	}
	b.execOn(reader, "COMMIT")
	rec := &record{}
	if r, err := b.job.Run(t.Context(), rec.run(true), policy("t", config.Month, 1)); err != nil || r.Outcome != jobs.Noop {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range rec.said {
		b.exec(s)
	}
	b.clean()
	if r, err := b.run(policy("t", config.Month, 1)); err != nil || r.Outcome != jobs.Noop {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "300 0" {
		t.Error(got)
	}
}

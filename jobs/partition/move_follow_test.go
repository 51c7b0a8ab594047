package partition

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// before is somebody who does something just before statements of a run.
type before func(sql string)

func (f before) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	f(data.SQL)
	return ctx
}

func (before) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// watched is a pool like the bench's, of whose statements f is told.
func (b *bench) watched(f before) *pgxpool.Pool {
	b.t.Helper()
	cfg := b.pool.Config().Copy()
	cfg.ConnConfig.Tracer = f
	pool, err := pgxpool.NewWithConfig(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	return pool
}

const (
	lockWriters   = `LOCK TABLE ONLY "public"."rest" IN SHARE ROW EXCLUSIVE`
	lockEverybody = `LOCK TABLE ONLY "public"."t" IN ACCESS EXCLUSIVE`
	lookForOlder  = "age(backend_xmin)"
)

// Whenever a transaction in REPEATABLE READ begins, and whether it reads or writes: it sees each row once, and nothing that it or others
// change is lost. The columns are called like what the move has variables for.
func TestEverySnapshotSeesAMoveWhole(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a primary key": ", PRIMARY KEY (at, id)", "with equal rows": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE public.t (id bigint, at timestamptz, t int, c int, r text, s int DEFAULT 0`+key+`) PARTITION BY RANGE (at); CREATE TABLE public.rest PARTITION OF public.t DEFAULT;`+monthSQL+`
				INSERT INTO public.t SELECT i, public.month(i % 3) + i % 7 * interval '1 hour', i, i, 'row ' || i FROM generate_series(1, 600) i;
				INSERT INTO public.t SELECT i, '2001-01-01 00:00+00', i, i, 'old' FROM generate_series(1, 30) i`).aside()
			if key == "" {
				b.exec("INSERT INTO public.t SELECT * FROM public.t")
			}
			writer, other, old, late := b.connect(), b.connect(), b.connect(), b.connect()
			do := func(conn *pgx.Conn, sql string) {
				if _, err := conn.Exec(t.Context(), "SET statement_timeout = '20s';"+sql); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
			digest := func(conn *pgx.Conn) (d string) {
				if err := conn.QueryRow(t.Context(), "SELECT count(*) || ' ' || md5(string_agg(x::text, ',' ORDER BY x::text)) FROM public.t x").Scan(&d); err != nil {
					t.Error(err)
				}
				return d
			}
			change := func(conn *pgx.Conn, n int) {
				do(conn, fmt.Sprintf(`INSERT INTO public.t SELECT 10000 * %[1]d + i, public.month(i %% 3), i, i, 'new' FROM generate_series(1, 20) i;
					UPDATE public.t SET s = s + 1 WHERE id %% 50 = %[1]d; UPDATE public.t SET at = at + interval '32 days', r = 'moved' WHERE id %% 50 = %[1]d + 10; DELETE FROM public.t WHERE id %% 50 = %[1]d + 20`, n))
			}
			var writersOut, everybodyOut, looks int
			var seen, last string
			b.job.Pool = b.watched(func(sql string) {
				switch {
				case strings.Contains(sql, lockWriters):
					if writersOut++; writersOut == 2 { // the copy is nearly complete, but not for this snapshot
						change(writer, 1)
						do(old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot()")
						change(writer, 2)
					}
				case strings.Contains(sql, lookForOlder):
					if looks++; looks == 2 { // it is waited for
						change(writer, 3)
						do(old, "INSERT INTO public.t VALUES (-1, now(), 1, 1, 'older'); UPDATE public.t SET s = 100 WHERE id % 50 = 41; DELETE FROM public.t WHERE id % 50 = 42")
						do(old, "COMMIT")
						do(writer, "UPDATE public.t SET s = s + 1 WHERE id % 50 IN (40, 41) OR id = -1")
					}
				case strings.Contains(sql, lockEverybody):
					if everybodyOut++; everybodyOut == 2 {
						change(writer, 4)
						// Two who each take one of two equal rows do not wait for each other.
						one := "DELETE FROM public.rest WHERE ctid = (SELECT ctid FROM public.rest WHERE id = 7 OR id = 8 ORDER BY id, ctid %s LIMIT 1)"
						if key == "" {
							do(other, "BEGIN;"+fmt.Sprintf(one, "DESC"))
						}
						do(writer, fmt.Sprintf(one, "ASC"))
						if key == "" {
							do(other, "COMMIT")
						}
						do(late, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot()")
						seen = digest(writer)
						change(writer, 5)
						last = digest(writer)
					}
				}
			})
			rec := &record{}
			if _, err := b.job.Run(t.Context(), rec.run(false), policy("t", config.Month, 3)); err != nil {
				t.Fatal(err)
			}
			if got := digest(late); got != seen || seen == last {
				t.Errorf("a snapshot of the last moment sees %s, not %s", got, seen)
			}
			do(late, "UPDATE public.t SET s = -1 WHERE id = 1; ROLLBACK")
			if got := digest(b.conn); got != last {
				t.Errorf("%s became %s", last, got)
			}
			if said := strings.Join(rec.said, "\n"); !strings.Contains(said, "changes of public.rest came meanwhile") || everybodyOut != 2 {
				t.Errorf("%d rounds: %s", everybodyOut, said)
			}
			b.mustRun(policy("t", config.Month, 3))
			b.clean()
			if got := b.list("SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid::regclass::text LIKE 'public.%' AND NOT i.indisprimary"); len(got) != 0 {
				t.Errorf("indexes are left: %v", got)
			}
		})
	}
}

// Whoever changes more than can be copied, each time that the last of it is to be copied, is let go on; the move is given up, and says why.
func TestAMoveThatIsOutrunGivesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(1), i FROM generate_series(1, 50) i`).aside()
	writer, rounds := b.connect(), -1
	pool := b.job.Pool
	b.job.Pool = b.watched(func(sql string) {
		if strings.Contains(sql, lockWriters) && rounds < mostRounds {
			if rounds++; rounds > 0 {
				if _, err := writer.Exec(t.Context(), fmt.Sprintf("INSERT INTO public.t (at, x) SELECT public.month(1), 0 FROM generate_series(1, %d)", mostLocked+1)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	_, err := b.run(policy("t", config.Month, 1))
	if err == nil {
		t.Fatal("it was not given up")
	}
	for _, w := range []string{"2001 changes", "for the 10th time", "less is written", "public.rest"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	b.clean()
	b.job.Pool = pool
	b.mustRun(policy("t", config.Month, 1))
	if got, want := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"), fmt.Sprintf("%d 0", 50+mostRounds*(mostLocked+1)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is changed while a reader keeps the lock away is in the copy at once, for whoever sees the change.
func TestManyChangesWhileAMoveWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(1), i FROM generate_series(1, 50) i`).aside()
	b.job.Patience.Attempts = 1000
	reader, later, done := b.connect(), b.connect(), make(chan error, 1)
	b.execOn(reader, "BEGIN; SELECT count(*) FROM public.t")
	rec := &record{}
	go func() {
		_, err := b.job.Run(t.Context(), rec.run(false), policy("t", config.Month, 1))
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'public.t'::regclass AND mode = 'AccessExclusiveLock')")
	b.exec("INSERT INTO public.t (at, x) SELECT public.month(1), i FROM generate_series(51, 3050) i; UPDATE public.t SET x = -x WHERE x > 3000")
	b.execOn(later, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot()")
	b.execOn(reader, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var n, negative int
	if err := later.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE x < 0) FROM public.t").Scan(&n, &negative); err != nil || n != 3050 || negative != 50 {
		t.Errorf("%d rows are seen, %d changed: %v", n, negative, err)
	}
	if got := b.one("SELECT count(*) || ' ' || count(DISTINCT x) || ' ' || count(*) FILTER (WHERE x < 0) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "3050 3050 50 0" {
		t.Error(got)
	}
	pgtest.Eventually(t, b.url, "SELECT sum(pg_stat_get_live_tuples(inhrelid)) = 3050 FROM pg_inherits WHERE inhparent = 'public.t'::regclass") // the server's own count
	if strings.Contains(strings.Join(rec.said, "\n"), "came meanwhile") {
		t.Error(rec.said)
	}
	b.clean()
}

// Even a few rows are not missed by a transaction whose snapshot is older than their move.
func TestFewRowsAreSeenByAnOlderSnapshot(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(1), i FROM generate_series(1, 50) i`).aside()
	older, done := b.connect(), make(chan error, 1)
	b.execOn(older, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot()")
	rec := &record{}
	told := make(chan struct{}, 100)
	run := rec.run(false)
	say := run.Say
	run.Say = func(format string, args ...any) {
		say(format, args...)
		if strings.Contains(format, "waits for transactions that began before") {
			told <- struct{}{}
		}
	}
	go func() {
		_, err := b.job.Run(t.Context(), run, policy("t", config.Month, 1))
		done <- err
	}()
	select {
	case <-told:
	case err := <-done:
		done <- err
	}
	var n int
	if err := older.QueryRow(t.Context(), "SELECT count(*) FROM public.t WHERE at >= public.month(1) AND at < public.month(2)").Scan(&n); err != nil || n != 50 {
		t.Errorf("%d rows are seen of 50: %v", n, err)
	}
	b.execOn(older, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.rest) FROM public.t"); got != "50 0" {
		t.Error(got)
	}
	b.clean()
}

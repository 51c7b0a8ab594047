package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

// insert is a job that writes one row and its record in one transaction; hooks run before and after the commit.
func insert(pool func() *pgxpool.Pool, before, after func(ctx context.Context, id int64) error) func(context.Context, *jobs.Run) (jobs.Result, error) {
	return func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
		result := jobs.Result{Outcome: jobs.Success, Summary: "inserted"}
		err := pgx.BeginFunc(ctx, pool(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO public.work VALUES ($1)", run.ID); err != nil {
				return err
			}
			if err := before(ctx, run.ID); err != nil {
				return err
			}
			return run.Commit(ctx, tx, result)
		})
		if err == nil {
			err = after(ctx, run.ID)
		}
		return result, err
	}
}

func nothing(context.Context, int64) error { return nil }

// done counts what the job insert has committed.
func done(t *testing.T, url string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM public.work").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func workplace(t *testing.T) string {
	t.Helper()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.work (run bigint)")
	return url
}

// A stop in the middle of a job: it rolls back or commits, the ledger says which, and the next start goes on.
func TestStoppingInTheMiddleOfAJob(t *testing.T) {
	t.Parallel()
	wait := func(begun chan<- struct{}) func(context.Context, int64) error {
		return func(ctx context.Context, _ int64) error {
			begun <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
	}
	for _, c := range []struct {
		name         string
		beforeCommit bool
		grace        time.Duration
		outcome      string
		committed    int
		again        int // runs after the next start
	}{
		{"before the commit", true, 50 * time.Millisecond, "failure stopped by shutdown; what it had not committed was rolled back", 0, 1},
		{"after the commit", false, 50 * time.Millisecond, "success", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := workplace(t)
			clock := newClock("2026-08-05 12:02:30")
			begun := make(chan struct{}, 1)
			before, after := nothing, wait(begun)
			if c.beforeCommit {
				before, after = after, before
			}
			var r *rig
			r = assemble(t, url, clock, func(o *jobs.Options) { o.Grace = c.grace },
				task("rollup", "", "@hourly", insert(func() *pgxpool.Pool { return r.pool }, before, after)))
			r.start()
			await(t, "the job", begun)
			asked := time.Now()
			r.halt()
			if took := time.Since(asked); took > 8*time.Second {
				t.Errorf("stopping took %s", took)
			}
			wantRows(t, url, "outcome, error", c.outcome)
			if n := done(t, url); n != c.committed {
				t.Errorf("%d committed, want %d", n, c.committed)
			}

			var next *rig
			next = assemble(t, url, clock, nil, task("rollup", "", "@hourly", insert(func() *pgxpool.Pool { return next.pool }, nothing, nothing)))
			next.start()
			for range c.again {
				next.next()
			}
			until(t, "it is over", func() bool {
				return next.Leadership().State == leader.Leading && next.Status()[0].Running.IsZero() && next.Status()[0].Last != nil
			})
			next.halt()
			if n := done(t, url); n != 1 {
				t.Errorf("%d committed in the end, want 1", n)
			}
		})
	}
}

func TestAJobMayFinishWithinTheGrace(t *testing.T) {
	t.Parallel()
	url := workplace(t)
	begun, release := make(chan struct{}), make(chan struct{})
	var r *rig
	r = assemble(t, url, newClock("2026-08-05 12:02:30"), nil, task("rollup", "", "@hourly", insert(func() *pgxpool.Pool { return r.pool }, func(context.Context, int64) error {
		close(begun)
		<-release
		return nil
	}, nothing)))
	r.start()
	await(t, "the job", begun)
	r.stop()
	// The leader keeps the lock while it winds up.
	rival := launch(t, url, newClock("2026-08-05 12:02:30"), nil)
	until(t, "the rival stands by", func() bool { return rival.Leadership().State == leader.Standby })
	close(release)
	r.halt()
	wantRows(t, url, "outcome, error", "success")
	until(t, "the rival leads", func() bool { return rival.Leadership().State == leader.Leading })
}

func TestAJobThatDoesNotHeedItsContextDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	begun, release := make(chan struct{}), make(chan struct{})
	r := launch(t, url, newClock("2026-08-05 12:02:30"), func(o *jobs.Options) { o.Grace, o.Drain = 50*time.Millisecond, 200*time.Millisecond },
		task("deaf", "", "@hourly", func(context.Context, *jobs.Run) (jobs.Result, error) {
			close(begun)
			<-release
			return jobs.Result{}, nil
		}))
	await(t, "the job", begun)
	r.halt()
	wantRows(t, url, "job, outcome", "deaf")
	close(release)
	r.next()
}

const victimEnv = "PGTENDER_TEST_VICTIM"

// victim is a daemon for the test to kill or stop: its job commits nothing and ends only when it is cancelled. As a
// leader it is watched closely.
func victim(url string) {
	ctx := context.Background()
	pool, err := pg.Open(ctx, url, 2)
	if err != nil {
		panic(err)
	}
	rollup := task("rollup", "", "@yearly", insert(func() *pgxpool.Pool { return pool }, func(ctx context.Context, _ int64) error {
		<-ctx.Done()
		return ctx.Err()
	}, nothing))
	// It would act again as soon as it is awake.
	eager := task("eager", "", "@every 1s", succeed)
	r, err := jobs.NewRunner(jobs.Options{URL: url, Pool: pool, Instance: "victim", Leadership: leader.Options{
		Pulse: leader.Pulse{Ping: 300 * time.Millisecond, Deadline: 500 * time.Millisecond, Idle: 1200 * time.Millisecond}}}, []jobs.Task{rollup, eager})
	if err != nil {
		panic(err)
	}
	panic(r.Run(ctx))
}

// launchVictim returns when its job is in the middle of its transaction.
func launchVictim(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), victimEnv+"="+url)
	other.Stderr = os.Stderr
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(other) })
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE 'INSERT INTO public.work%')")
	return other
}

func end(c *exec.Cmd) {
	if c.ProcessState == nil {
		_ = c.Process.Kill() // it may be dead already
		_ = c.Wait()         // it was killed
	}
}

func signal(t *testing.T, c *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestARunThatWasKilled(t *testing.T) {
	t.Parallel()
	url := workplace(t)
	other := launchVictim(t, url)

	// Somebody else does not take it for dead while it lives.
	bystander := assemble(t, url, nil, nil)
	if _, err := bystander.RunOnce(t.Context(), jobs.Once{}); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, url, "SELECT outcome IS NULL FROM pgtender.run WHERE job = 'rollup'")

	end(other)
	var r *rig
	r = assemble(t, url, nil, nil, task("rollup", "", "@yearly", insert(func() *pgxpool.Pool { return r.pool }, nothing, nothing)))
	r.start()
	if e := r.next(); e.Outcome != jobs.Success {
		t.Fatalf("%+v", e)
	}
	r.halt()
	pgtest.Eventually(t, url, `SELECT string_agg(concat_ws(' ', trigger, outcome, error), '|' ORDER BY id) LIKE
		'catch-up failure interrupted: the process that ran it (victim) ended%|catch-up success' FROM pgtender.run WHERE job = 'rollup'`)
	if n := done(t, url); n != 1 {
		t.Errorf("%d committed, want 1", n)
	}
}

// A leader that is stopped in the middle of a run's transaction, as by SIGSTOP or a frozen machine, is followed by another, who gets the run's
// objects, too: the server ends the silent sessions. When the first one wakes it gives up, and begins nothing.
func TestALeaderThatIsStoppedAndWakes(t *testing.T) {
	t.Parallel()
	url := workplace(t)
	other := launchVictim(t, url)
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'eager' AND outcome = 'success')")
	signal(t, other, syscall.SIGSTOP)

	clock := newClock("2026-08-05 12:02:30")
	var r *rig
	r = assemble(t, url, clock, func(o *jobs.Options) { o.LockWait = 5 * time.Minute },
		task("rollup", "", "*/5 * * * *", insert(func() *pgxpool.Pool { return r.pool }, nothing, nothing)))
	r.start()
	if e := r.next(); e.Outcome != jobs.Success {
		t.Fatalf("%+v", e)
	}
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'rollup' AND instance = 'victim' AND error LIKE 'interrupted: the process that ran it (victim) ended or lost the server%')")
	pgtest.Eventually(t, url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND query LIKE 'INSERT INTO public.work%')")
	signal(t, other, syscall.SIGCONT)
	clock.set("2026-08-05 12:05:00")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'rollup' AND trigger = 'schedule' AND outcome = 'success')")
	pgtest.Eventually(t, url, `SELECT NOT EXISTS (SELECT FROM pgtender.run v WHERE v.instance = 'victim' AND v.started_at > (SELECT min(started_at) FROM pgtender.run w WHERE w.instance <> 'victim'))`)
	if n := done(t, url); n != 2 {
		t.Errorf("%d committed, want 2", n)
	}
}

func TestNoFreeConnection(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	role := pgtest.Role(t, url, "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$")
	limit := func(n int) {
		pgtest.Exec(t, url, fmt.Sprintf("DO $$ BEGIN EXECUTE format('ALTER ROLE %%I CONNECTION LIMIT %d', (SELECT usename FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgtender: leader')); END $$", n))
	}
	clock := newClock("2026-08-05 12:02:30")
	r := launch(t, role, clock, nil, task("rollup", "", "*/5 * * * *", succeed))
	r.next()
	limit(0)
	clock.set("2026-08-05 12:05:00")
	until(t, "it wants to run", func() bool { return !r.Status()[0].Running.IsZero() })
	pgtest.Eventually(t, url, "SELECT count(*) = 1 FROM pgtender.run")
	limit(-1)
	if e := r.next(); e.Outcome != jobs.Success {
		t.Fatalf("%+v", e)
	}
	r.halt()
	wantRows(t, url, "trigger, "+when+", outcome", "catch-up 12:02:30 success", "schedule 12:05:00 success")
}

// A run whose session is lost is cancelled, and when another daemon took it for dead, it can commit nothing.
func TestARunThatLostItsSession(t *testing.T) {
	t.Parallel()
	url := workplace(t)
	clock := newClock("2026-08-05 12:02:30")
	begun, judged := make(chan struct{}), make(chan struct{})
	commit := make(chan error, 1)
	var r *rig
	r = assemble(t, url, clock, nil, task("rollup", "public.work", "@hourly", func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
		close(begun)
		<-ctx.Done()
		<-judged
		// A job that does not heed its context.
		err := pgx.BeginFunc(context.Background(), r.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(context.Background(), "INSERT INTO public.work VALUES ($1)", run.ID); err != nil {
				return err
			}
			return run.Commit(context.Background(), tx, jobs.Result{})
		})
		commit <- err
		return jobs.Result{}, err
	}))
	r.start()
	await(t, "the job", begun)
	kill(t, url, "pgtender: rollup public.work")
	rival := assemble(t, url, nil, nil)
	until(t, "the rival has judged it", func() bool {
		if _, err := rival.RunOnce(t.Context(), jobs.Once{}); err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(rows(t, url, "outcome, error")[0], "failure interrupted: the process that ran it")
	})
	close(judged)
	if err := await(t, "the commit", commit); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("commit: %v", err)
	}
	if e := r.next(); e.Outcome != jobs.Failure {
		t.Errorf("%+v", e)
	}
	if n := done(t, url); n != 0 {
		t.Errorf("%d committed, want none", n)
	}
}

func TestALostSessionCancelsItsRun(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	begun := make(chan struct{})
	r := launch(t, url, newClock("2026-08-05 12:02:30"), nil, task("rollup", "public.work", "@hourly", func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
		close(begun)
		<-ctx.Done()
		return jobs.Result{}, ctx.Err()
	}))
	await(t, "the job", begun)
	kill(t, url, "pgtender: rollup public.work")
	e := r.next()
	var lost *leader.LostError
	if !errors.As(e.err, &lost) && !strings.Contains(fmt.Sprint(e.err), "interrupted") {
		t.Errorf("%+v", e)
	}
	r.halt()
	got := rows(t, url, "outcome, error")
	if len(got) != 1 || !strings.HasPrefix(got[0], "failure interrupted: ") || !strings.HasSuffix(got[0], "what it had not committed was rolled back") {
		t.Errorf("ledger:\n%s", lines(got))
	}
}

// The server goes away in the middle of a job, and for a while; the daemon stays, and goes on when it is back.
func TestAServerThatRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	url := server.URL("postgres")
	pgtest.Exec(t, url, "CREATE TABLE public.work (run bigint)")
	clock := newClock("2026-08-05 12:02:30")
	begun := make(chan struct{}, 9)
	first := true
	var r *rig
	r = assemble(t, url, clock, nil, task("rollup", "", "*/5 * * * *", insert(func() *pgxpool.Pool { return r.pool }, func(ctx context.Context, _ int64) error {
		begun <- struct{}{}
		if first {
			first = false
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}, nothing)))
	r.start()
	await(t, "the job", begun)
	if err := server.Restart(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if e := r.next(); e.Outcome != jobs.Failure {
		t.Fatalf("%+v", e)
	}
	if e := r.next(); e.Outcome != jobs.Success { // as soon as it leads again
		t.Fatalf("%+v", e)
	}
	clock.set("2026-08-05 12:05:00")
	if e := r.next(); e.Outcome != jobs.Success {
		t.Fatalf("%+v", e)
	}
	r.halt()
	if n := done(t, url); n != 2 {
		t.Errorf("%d committed, want 2", n)
	}
	got := rows(t, url, "trigger, "+when+", outcome")
	if want := "catch-up 12:02:30 failure|catch-up 12:02:30 success|schedule 12:05:00 success"; strings.Join(got, "|") != want {
		t.Errorf("ledger:\n%s", lines(got))
	}
}

func TestPruningKeepsWhatTheScheduleNeeds(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	clock := newClock("2026-08-05 12:02:30")
	var history config.Interval
	history.Text, history.Days = "90 days", 90
	yearly := task("yearly", "", "@yearly", succeed)
	failing := task("failing", "", "@yearly", succeed)
	r := assemble(t, url, clock, func(o *jobs.Options) { o.History = history }, yearly, failing)
	if _, err := r.RunOnce(t.Context(), jobs.Once{Filter: func(jobs.Task) bool { return false }}); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, `INSERT INTO pgtender.run (job, trigger, scheduled_for, started_at, finished_at, outcome, covered_until)
		SELECT job, 'schedule', at, at, at, outcome, covered FROM (VALUES
			('yearly', timestamptz '2024-01-01 00:00+00', 'success', timestamptz '2024-01-01 00:00+00'),
			('yearly', '2026-01-01 00:00+00', 'success', '2026-01-01 00:00+00'),
			('yearly', '2026-02-01 00:00+00', 'failure', NULL),
			('failing', '2024-01-01 00:00+00', 'success', '2024-01-01 00:00+00'),
			('failing', '2025-01-01 00:00+00', 'failure', '2025-01-01 00:00+00'),
			('failing', '2026-01-01 00:00+00', 'failure', '2026-01-01 00:00+00'),
			('other', '2026-07-01 00:00+00', 'failure', NULL)) AS old (job, at, outcome, covered)`,
		"INSERT INTO pgtender.run (job, trigger, scheduled_for, started_at, finished_at, outcome) SELECT 'other', 'schedule', at, at, at, 'failure' FROM generate_series(timestamptz '2020-01-01', '2020-01-02', interval '30 s') AS at")
	r.start()
	pgtest.Eventually(t, url, "SELECT count(*) = 4 FROM pgtender.run")
	r.halt()
	wantRows(t, url, "job, to_char(scheduled_for, 'YYYY-MM')", "yearly 2026-01", "failing 2024-01", "failing 2026-01", "other 2026-07")
	if len(r.ended) > 0 {
		t.Errorf("ran %+v, though no scheduled time had passed", <-r.ended)
	}
}

// What shows only after the commit joins the row; what was committed stays.
func TestFiguresAfterTheCommitJoinTheLedger(t *testing.T) {
	t.Parallel()
	url := workplace(t)
	pool := pgtest.Pool(t, url)
	r, err := jobs.NewRunner(jobs.Options{URL: url, Pool: pool}, []jobs.Task{{Job: "work", Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
		result := jobs.Result{Outcome: jobs.Success, Detail: map[string]any{"rows": 3}}
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return run.Commit(ctx, tx, result) })
		result.Summary, result.Detail = "another", map[string]any{"rows": 4, "wal_bytes": 500}
		return result, err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RunOnce(t.Context(), jobs.Once{}); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := pool.QueryRow(t.Context(), "SELECT outcome || summary || detail::text FROM pgtender.run").Scan(&got); err != nil || got != `success{"rows": 3, "wal_bytes": 500}` {
		t.Errorf("%s, %v", got, err)
	}
}

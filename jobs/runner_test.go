package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func TestATaskRunsAtOnceThenOnSchedule(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	r := launch(t, url, c, nil, task("rollup", "", "*/5 * * * *", succeed))
	if e := r.next(); e.Outcome != jobs.Success || e.err != nil {
		t.Fatalf("%+v", e)
	}
	until(t, "the next run is known", func() bool { return r.Status()[0].Running.IsZero() && r.Status()[0].Next.Minute() == 5 })
	c.set("2026-08-05 12:05:00")
	r.next()
	c.set("2026-08-05 12:09:59")
	c.set("2026-08-05 12:10:01")
	r.next()
	r.halt()
	wantRows(t, url, "trigger, "+when+", outcome, summary, covered_until = scheduled_for",
		"catch-up 12:02:30 success done t", "schedule 12:05:00 success done t", "schedule 12:10:00 success done t")
}

func TestWhatWasMissedIsCaughtUpOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	tasks := []jobs.Task{task("rollup", "", "*/5 * * * *", succeed), task("nightly", "", "30 3 * * *", succeed)}
	one := func(o *jobs.Options) { o.MaxParallel = 1 }
	r := launch(t, url, c, one, tasks...)
	r.next()
	r.next()
	r.halt()

	c.set("2026-08-05 14:58:00") // 35 rollups were missed, no nightly
	r = launch(t, url, c, nil, tasks...)
	r.next()
	until(t, "the next run is known", func() bool { return r.Status()[1].Running.IsZero() && !r.Status()[1].Next.IsZero() })
	c.set("2026-08-05 15:00:00")
	r.next()
	r.halt()
	wantRows(t, url, "job, trigger, to_char(scheduled_for, 'DD HH24:MI')",
		"nightly catch-up 05 12:02", "rollup catch-up 05 12:02", "rollup catch-up 05 14:55", "rollup schedule 05 15:00")
}

func TestAFailureWaitsForItsNextTime(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	failing := task("rollup", "", "*/5 * * * *", func(context.Context, *jobs.Run) (jobs.Result, error) {
		return jobs.Result{Detail: map[string]any{"bad\x00key\xff": "a\x00b\xffc"}}, fmt.Errorf("a\x00b\xff: %w", errPlanned)
	})
	r := launch(t, url, c, nil, failing)
	if e := r.next(); e.Outcome != jobs.Failure || e.err == nil {
		t.Fatalf("%+v", e)
	}
	r.halt()
	first := task("first", "", "@yearly", succeed)
	first.AtStart = true
	r = launch(t, url, c, nil, failing, first) // a restart does not try it again
	if e := r.next(); e.task.Job != "first" {
		t.Fatalf("%+v", e)
	}
	c.set("2026-08-05 12:05:00")
	r.next()
	r.halt()
	wantRows(t, url, "trigger, "+when+", outcome, error", "catch-up 12:02:30 failure a\ufffdb\ufffd: as planned", "start 12:02:30 success", "schedule 12:05:00 failure a\ufffdb\ufffd: as planned")
}

func TestWhatIsDueTogetherRunsInOrder(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var mu sync.Mutex
	var order []string
	var running, most atomic.Int32
	at := func(job, target string, n int, locks ...string) jobs.Task {
		tk := task(job, target, "@hourly", func(context.Context, *jobs.Run) (jobs.Result, error) {
			mu.Lock()
			order = append(order, job+target)
			mu.Unlock()
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(20 * time.Millisecond)
			running.Add(-1)
			return jobs.Result{}, nil
		})
		tk.Order, tk.Locks = n, locks
		return tk
	}
	r := launch(t, url, newClock("2026-08-05 12:02:30"), func(o *jobs.Options) { o.MaxParallel = 2 },
		at("refresh", "", 30), at("archive", "a", 20, "a"), at("archive", "b", 20, "b"), at("partition", "a", 10, "a"), at("partition", "b", 10, "b"), at("partition", "c", 10, "c"))
	for range 6 {
		r.next()
	}
	r.halt()
	for i, job := range []string{"partition", "partition", "partition", "archive", "archive", "refresh"} {
		if !strings.HasPrefix(order[i], job) {
			t.Fatalf("order: %v", order)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d ran at once, want the 2 allowed", most.Load())
	}
}

func TestARunStillGoingSkipsItsNextTime(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	begun, release := make(chan struct{}, 9), make(chan struct{})
	r := launch(t, url, c, nil, task("rollup", "", "*/5 * * * *", func(context.Context, *jobs.Run) (jobs.Result, error) {
		begun <- struct{}{}
		<-release
		return jobs.Result{}, nil
	}))
	await(t, "the first run", begun)
	c.set("2026-08-05 12:05:00")
	if e := r.next(); e.Outcome != jobs.Skipped {
		t.Fatalf("%+v", e)
	}
	close(release)
	r.next()
	until(t, "the run is over", func() bool { return r.Status()[0].Running.IsZero() })
	c.set("2026-08-05 12:10:00")
	r.next()
	s := r.Status()[0]
	if s.Counts[jobs.Skipped] != 1 || s.Counts[jobs.Success] != 2 {
		t.Errorf("counts %v", s.Counts)
	}
	r.halt()
	wantRows(t, url, when+", outcome, covered_until IS NOT NULL", "12:02:30 success t", "12:05:00 skipped f", "12:10:00 success t")
}

func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	core, logged := observer.New(zap.InfoLevel)
	var runs atomic.Int32
	r := launch(t, url, c, func(o *jobs.Options) { o.Log = zap.New(core) }, task("rollup", "", "*/5 * * * *", func(context.Context, *jobs.Run) (jobs.Result, error) {
		if runs.Add(1) == 1 {
			panic(fmt.Sprintf("run %d of a job that panics", runs.Load()))
		}
		return jobs.Result{}, nil
	}))
	if e := r.next(); e.Outcome != jobs.Failure || !strings.Contains(e.err.Error(), "panic: run 1 of a job that panics") {
		t.Fatalf("%+v", e)
	}
	until(t, "the run is over", func() bool { return r.Status()[0].Running.IsZero() && !r.Status()[0].Next.IsZero() })
	c.set("2026-08-05 12:05:00")
	if e := r.next(); e.Outcome != jobs.Success {
		t.Fatalf("%+v", e)
	}
	stacks := logged.FilterMessage("job panicked").All()
	if len(stacks) != 1 || !strings.Contains(fmt.Sprint(stacks[0].ContextMap()["stack"]), "TestAPanicIsAFailure") {
		t.Errorf("logged %v", stacks)
	}
}

func TestATimeout(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	slow := task("rollup", "", "@hourly", nil)
	slow.Timeout = 50 * time.Millisecond
	r := assemble(t, url, nil, nil)
	slow.Run = func(ctx context.Context, _ *jobs.Run) (jobs.Result, error) {
		_, err := r.pool.Exec(ctx, "SELECT pg_sleep(60)")
		return jobs.Result{}, err
	}
	r = assemble(t, url, nil, nil, slow)
	reports, err := r.RunOnce(t.Context(), jobs.Once{})
	if err != nil {
		t.Fatal(err)
	}
	if got := reports[0]; got.Result.Outcome != jobs.Failure || !strings.Contains(got.Err.Error(), "not done within its timeout of 50ms") {
		t.Errorf("%+v", got)
	}
}

func TestTwoDaemonsOneActs(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	var acting atomic.Int32
	work := task("rollup", "", "*/5 * * * *", func(context.Context, *jobs.Run) (jobs.Result, error) {
		if n := acting.Add(1); n != 1 {
			t.Errorf("%d act at once", n)
		}
		defer acting.Add(-1)
		return jobs.Result{}, nil
	})
	work.Locks = []string{"public.t"}
	a, b := launch(t, url, c, nil, work), launch(t, url, c, nil, work)
	either := func() ended {
		t.Helper()
		select {
		case e := <-a.ended:
			return e
		case e := <-b.ended:
			return e
		case <-time.After(patience):
			t.Fatal("nobody ran it")
			panic("unreachable")
		}
	}
	var want []string
	either()
	want = append(want, "12:02:30 success")
	for minute := 5; minute < 60; minute += 5 {
		kill(t, url, "pgtender: leader%") // both: whoever is first takes over
		c.set(fmt.Sprintf("2026-08-05 12:%02d:00", minute))
		either()
		want = append(want, fmt.Sprintf("12:%02d:00 success", minute))
	}
	a.halt()
	b.halt()
	wantRows(t, url, when+", outcome", want...)
	if n := len(a.ended) + len(b.ended); n != 0 {
		t.Errorf("%d runs too many", n)
	}
}

func TestAStandbyTellsTheTruth(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	tasks := []jobs.Task{task("good", "public.a", "@hourly", succeed), task("bad", "", "@hourly", func(context.Context, *jobs.Run) (jobs.Result, error) {
		return jobs.Result{}, errPlanned
	})}
	a := launch(t, url, c, nil, tasks...)
	a.next()
	a.next()
	b := launch(t, url, c, nil, tasks...)
	until(t, "it stands by", func() bool { return b.Leadership().State == leader.Standby })
	until(t, "it has read the ledger", func() bool { s := b.Status(); return s[0].Last != nil && s[1].Last != nil })
	bad, good := b.Status()[0], b.Status()[1] // by name
	if good.Last.Outcome != jobs.Success || good.LastSuccess.IsZero() || good.Last.Instance == "" || good.Target != "public.a" {
		t.Errorf("good: %+v", good)
	}
	if bad.Last.Outcome != jobs.Failure || bad.Last.Error != "as planned" || !bad.LastSuccess.IsZero() {
		t.Errorf("bad: %+v", bad)
	}
	if want := newClock("2026-08-05 13:00:00").now; !good.Next.Equal(want) {
		t.Errorf("next %s, want %s", good.Next, want)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	url := pgtest.Database(t)
	ignore := goleak.IgnoreCurrent()
	r := launch(t, url, newClock("2026-08-05 12:02:30"), func(o *jobs.Options) { o.Grace = 100 * time.Millisecond },
		task("quick", "", "@hourly", succeed), task("slow", "", "@hourly", func(ctx context.Context, _ *jobs.Run) (jobs.Result, error) {
			<-ctx.Done()
			return jobs.Result{}, ctx.Err()
		}))
	r.next()
	r.halt()
	r.pool.Close()
	goleak.VerifyNone(t, ignore)
}

func TestTasksAreChecked(t *testing.T) {
	t.Parallel()
	r := assemble(t, pgtest.Database(t), nil, nil)
	for want, tasks := range map[string][]jobs.Task{
		`job x has two tasks for target "a"`: {task("x", "a", "@hourly", succeed), task("x", "a", "@daily", succeed)},
		"job x a has nothing to run":         {task("x", "a", "@hourly", nil)},
	} {
		if _, err := jobs.NewRunner(jobs.Options{URL: r.url, Pool: r.pool}, tasks); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

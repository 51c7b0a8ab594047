package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(victimEnv); url != "" {
		victim(url)
	}
	os.Exit(pgtest.Main(m))
}

const patience = 30 * time.Second

// clock is set by hand.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	sleeps []sleep
}

type sleep struct {
	until time.Time
	fires chan time.Time
}

func newClock(text string) *clock {
	now, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return &clock{now: now}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fires := make(chan time.Time, 1)
	if d <= 0 {
		fires <- c.now
		return fires, func() {}
	}
	c.sleeps = append(c.sleeps, sleep{c.now.Add(d), fires})
	return fires, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sleeps = slices.DeleteFunc(c.sleeps, func(s sleep) bool { return s.fires == fires })
	}
}

func (c *clock) set(text string) {
	now := newClock(text).now
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	c.sleeps = slices.DeleteFunc(c.sleeps, func(s sleep) bool {
		if s.until.After(now) {
			return false
		}
		s.fires <- now
		return true
	})
}

// ended is what the observer was told.
type ended struct {
	task jobs.Task
	jobs.Result
	err error
}

type witness chan ended

func (o witness) Finished(task jobs.Task, r jobs.Result, err error, _ time.Duration) {
	o <- ended{task, r, err}
}

// rig is a runner with everything it needs.
type rig struct {
	*jobs.Runner
	t     *testing.T
	url   string
	pool  *pgxpool.Pool
	ended witness
	stop  context.CancelFunc
	done  chan error
}

// assemble makes a runner that is not running.
func assemble(t *testing.T, url string, c jobs.Clock, change func(*jobs.Options), tasks ...jobs.Task) *rig {
	t.Helper()
	pool := pgtest.Pool(t, url)
	r := &rig{t: t, url: url, pool: pool, ended: make(witness, 1000)}
	opt := jobs.Options{URL: url, Pool: pool, Clock: c, Observer: r.ended, Look: 50 * time.Millisecond,
		Log:        zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
		Leadership: leader.Options{Retry: 50 * time.Millisecond, Pause: 20 * time.Millisecond, MaxPause: 200 * time.Millisecond}}
	if change != nil {
		change(&opt)
	}
	var err error
	if r.Runner, err = jobs.NewRunner(opt, tasks); err != nil {
		t.Fatal(err)
	}
	return r
}

// launch assembles a runner and runs it until the test ends, or stop.
func launch(t *testing.T, url string, c jobs.Clock, change func(*jobs.Options), tasks ...jobs.Task) *rig {
	t.Helper()
	r := assemble(t, url, c, change, tasks...)
	r.start()
	return r
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.done = cancel, make(chan error, 1)
	over := make(chan struct{})
	go func() { defer close(over); r.done <- r.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-over })
}

// halt stops the runner and waits for it.
func (r *rig) halt() {
	r.t.Helper()
	r.stop()
	if err := await(r.t, "the runner's end", r.done); err != nil {
		r.t.Fatal(err)
	}
}

// next waits for the end of a run.
func (r *rig) next() ended {
	r.t.Helper()
	return await(r.t, "the end of a run", r.ended)
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s until %s", patience, what)
		}
	}
}

func every(spec string) cron.Schedule {
	s, err := cron.ParseStandard(spec)
	if err != nil {
		panic(err)
	}
	return s
}

func task(job, target, spec string, run func(ctx context.Context, run *jobs.Run) (jobs.Result, error)) jobs.Task {
	return jobs.Task{Job: job, Target: target, Spec: spec, Schedule: every(spec), Run: run}
}

func succeed(context.Context, *jobs.Run) (jobs.Result, error) {
	return jobs.Result{Outcome: jobs.Success, Summary: "done"}, nil
}

// rows returns the ledger as text, one line a run in the order in which they began.
func rows(t *testing.T, url, columns string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	found, err := conn.Query(t.Context(), "SELECT concat_ws(' ', "+columns+") FROM pgtender.run ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantRows(t *testing.T, url, columns string, want ...string) {
	t.Helper()
	if got := rows(t, url, columns); !slices.Equal(got, want) {
		t.Errorf("ledger:\n%s\nwant:\n%s", lines(got), lines(want))
	}
}

func lines(all []string) string {
	out := ""
	for _, l := range all {
		out += "  " + l + "\n"
	}
	return out
}

const when = "to_char(scheduled_for, 'HH24:MI:SS')"

// Kill every session of the database whose application name is like this.
func kill(t *testing.T, url, application string) {
	t.Helper()
	pgtest.Exec(t, url, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s", pg.Literal(application)))
}

var errPlanned = errors.New("as planned")

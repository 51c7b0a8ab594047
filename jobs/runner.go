package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/leader"
)

// Clock tells the time and wakes sleepers. The tests have one of their own.
type Clock interface {
	Now() time.Time
	// After is like time.After; stop frees it when it is no longer wanted.
	After(d time.Duration) (fires <-chan time.Time, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now().Round(0) } // the wall clock, which can be set

func (systemClock) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// Options configures a Runner. The zero value of each optional field means the documented one.
type Options struct {
	URL      string         // of the target: each run holds its locks in a session of its own
	Pool     *pgxpool.Pool  // on the same database, from pg.Open: the ledger
	Location *time.Location // of the schedules: UTC

	Instance    string // this process in the ledger: host/pid/random
	Clock       Clock  // the system's
	Log         *zap.Logger
	Observer    Observer        // none
	MaxParallel int             // runs at a time: 4
	History     config.Interval // how long the ledger is kept: for ever

	Grace    time.Duration // for running jobs when asked to stop, before they are cancelled: 4 s
	Drain    time.Duration // for all of stopping: 8 s
	LockWait time.Duration // for an object that another process works on: 30 s
	// BeginWait is how long a scheduled run waits for a connection, as when the server's limit is reached: 5 min.
	BeginWait time.Duration
	Settle    time.Duration // for writing the end of a run into the ledger while the server cannot be reached: 30 s
	Look      time.Duration // how often the ledger is read for runs of other processes: 15 s

	// Pulse watches the session that holds a run's locks: 5 s, 5 s, 12 s. A process that is stopped for longer loses its objects.
	Pulse leader.Pulse

	Leadership leader.Options // its URL, Name and Log are set by the runner
}

func (o *Options) complete() {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.Grace, 4*time.Second)
	set(&o.Drain, 8*time.Second)
	set(&o.LockWait, 30*time.Second)
	set(&o.BeginWait, 5*time.Minute)
	set(&o.Settle, 30*time.Second)
	set(&o.Look, 15*time.Second)
	set(&o.Pulse.Ping, 5*time.Second)
	set(&o.Pulse.Deadline, 5*time.Second)
	set(&o.Pulse.Idle, 12*time.Second)
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.MaxParallel <= 0 {
		o.MaxParallel = 4
	}
	if o.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		o.Instance = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
	}
	o.Leadership.URL, o.Leadership.Name, o.Leadership.Log = o.URL, leaderLock, o.Log
}

// Runner runs tasks on their schedules while this process leads, or once by hand.
type Runner struct {
	opt       Options
	tasks     []Task // sorted by Order, Job, Target
	schedules []cron.Schedule
	atStart   []bool
	ledger    *ledger
	candidate *leader.Candidate
	changed   chan struct{} // a run has ended

	life    context.Context // of what must be written after a run; ends with Run
	endLife context.CancelFunc
	side    sync.WaitGroup // what is being written beside runs

	mu     sync.Mutex
	ended  bool // Run is over, though not every job need be
	status []TaskStatus
	over   []runOver          // runs that have ended and that the schedule has not heard of
	active map[int]*activeRun // by task; outlives a term of leadership when a job does not heed its context
}

// runOver is the end of a scheduled run.
type runOver struct {
	due
	served bool
}

type activeRun struct {
	id     int64 // 0: not in the ledger yet
	cancel context.CancelCauseFunc
}

// NewRunner checks the tasks and sorts them. It does not connect.
func NewRunner(opt Options, tasks []Task) (*Runner, error) {
	opt.complete()
	if opt.URL == "" || opt.Pool == nil {
		return nil, errors.New("a runner needs a connection string and a pool")
	}
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Target, b.Target))
	})
	r := &Runner{
		opt: opt, tasks: tasks,
		ledger:    &ledger{pool: opt.Pool, instance: opt.Instance},
		candidate: leader.New(opt.Leadership),
		changed:   make(chan struct{}, 1),
		active:    map[int]*activeRun{},
	}
	r.life, r.endLife = context.WithCancel(context.Background())
	seen := map[[2]string]bool{}
	for i := range tasks {
		t := &tasks[i]
		if key := [2]string{t.Job, t.Target}; seen[key] {
			return nil, fmt.Errorf("job %s has two tasks for target %q", t.Job, t.Target)
		} else if t.Run == nil {
			return nil, fmt.Errorf("job %s %s has nothing to run", t.Job, t.Target)
		} else {
			seen[key] = true
		}
		if t.Locks = slices.Compact(slices.Sorted(slices.Values(t.Locks))); len(t.Locks) == 0 {
			t.Locks = []string{"task " + t.label()} // no task runs twice at once, in whatever process
		}
		r.schedules, r.atStart = append(r.schedules, inZone(t.Schedule, opt.Location)), append(r.atStart, t.AtStart)
		r.status = append(r.status, TaskStatus{Job: t.Job, Target: t.Target, Spec: t.Spec, Counts: map[Outcome]int64{}})
	}
	return r, nil
}

// Run stands for leadership and, while it leads, runs each task on its schedule, until ctx ends. Then it begins
// nothing more, gives running jobs Options.Grace, cancels what is left, and returns nil
// within Options.Drain. No fault of the database ends it; a *pg.ProxyError does. A runner runs once.
func (r *Runner) Run(ctx context.Context) error {
	looking, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { r.look(looking) })
	err := r.candidate.Run(ctx, func(held context.Context, term *leader.Term) { r.lead(ctx, held, term) })
	r.drain() // what a lost term may have left
	stop()
	background.Wait()
	r.endLife()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.side.Wait()
	return err
}

// look reads the ledger now and then, for what other processes did: a standby, too, tells the truth.
func (r *Runner) look(ctx context.Context) {
	var logged string
	for {
		short, cancel := context.WithTimeout(ctx, 15*time.Second)
		all, err := r.ledger.histories(short, r.tasks)
		cancel()
		switch {
		case err == nil:
			r.learn(all)
			logged = ""
		case ctx.Err() == nil && !gone(err) && err.Error() != logged:
			logged = err.Error()
			r.opt.Log.Warn("the status of the jobs cannot be read, trying again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.opt.Look):
		}
	}
}

// drain waits for running jobs, then cancels them, and returns when none is left or the time for stopping is over.
func (r *Runner) drain() {
	over := time.NewTimer(r.opt.Drain)
	defer over.Stop()
	grace := time.NewTimer(r.opt.Grace)
	defer grace.Stop()
	for r.busyRuns() > 0 {
		select {
		case <-r.changed:
		case <-grace.C:
			r.cancelAll(errShutdown)
		case <-over.C:
			r.opt.Log.Warn("stopping, though jobs have not ended; the ledger will show them as interrupted", zap.Int("jobs", r.busyRuns()))
			return
		}
	}
}

func (r *Runner) busyRuns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.active)
}

func (r *Runner) cancelAll(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.active {
		a.cancel(cause)
	}
}

func (r *Runner) activeIDs() (ids []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.active {
		if a.id != 0 {
			ids = append(ids, a.id)
		}
	}
	return ids
}

func (t *Task) label() string { return strings.TrimRight(t.Job+" "+t.Target, " ") }

var (
	errShutdown = errors.New("stopped by shutdown")
	errTimeout  = errors.New("timed out")
)

// ObjectLock is the name, for pg.LockKey, of the session lock that a run holds on an object of Task.Locks.
func ObjectLock(object string) string { return "object " + object }

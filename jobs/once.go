package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Once says what RunOnce does.
type Once struct {
	Filter func(Task) bool // nil: every task
	// DryRun lets each job say what it would do. No lock is taken and no ledger row written.
	DryRun bool
	// Say gets what jobs report; nil: the log.
	Say func(task Task, line string)
	// Ended is told of each run as soon as it has ended; nil: the log.
	Ended func(Report)
}

// RunOnce runs tasks now, one after the other in order, whatever their schedules say and whoever leads, and returns how each
// ended; one that fails does not keep the next from running. A task whose objects another process works on is skipped
// after Options.LockWait. When ctx ends, the running task is given Options.Grace and the others are
// not begun, which is an error. So is a ledger that cannot be used; then nothing was run.
func (r *Runner) RunOnce(ctx context.Context, once Once) ([]Report, error) {
	if !once.DryRun {
		if err := pg.RequireSessions(ctx, r.opt.URL); err != nil {
			return nil, err
		}
		if _, err := r.open(ctx); err != nil {
			return nil, err
		}
	}
	var reports []Report
	var left []string
	idle := map[*Glance]map[int]Report{}
	for i := range r.tasks {
		t := &r.tasks[i]
		if once.Filter != nil && !once.Filter(*t) {
			continue
		}
		if ctx.Err() != nil {
			left = append(left, t.label())
			continue
		}
		if _, asked := idle[t.Glance]; !asked && t.Glance != nil && !once.DryRun {
			idle[t.Glance] = r.peepNow(ctx, t.Glance, once)
		}
		rep, ok := idle[t.Glance][i]
		if !ok {
			rep = r.runNow(ctx, i, once)
		}
		reports = append(reports, rep)
		if once.Ended != nil {
			once.Ended(rep)
		}
	}
	if len(left) > 0 {
		return reports, fmt.Errorf("stopped before these were begun: %s", strings.Join(left, ", "))
	}
	return reports, nil
}

// peepNow returns the runs of the tasks that have nothing to do.
func (r *Runner) peepNow(ctx context.Context, glance *Glance, once Once) map[int]Report {
	g := &glancing{glance: glance}
	for i := range r.tasks {
		if r.tasks[i].Glance == glance && (once.Filter == nil || once.Filter(r.tasks[i])) {
			g.dues = append(g.dues, due{task: i, trigger: Manual})
		}
	}
	started, began := r.opt.Clock.Now(), time.Now()
	idle, ids := r.idle(ctx, g)
	took := time.Since(began)
	reports := map[int]Report{}
	for i, e := range idle {
		reports[i] = Report{Task: r.tasks[i], Run: ids[i], Result: e.Result, Started: started, Duration: took}
		r.account(i, Manual, time.Time{}, reports[i], e)
		if once.Ended == nil {
			r.tell(i, reports[i], e)
		}
	}
	return reports
}

// runNow runs one task, which outlives ctx by the grace.
func (r *Runner) runNow(ctx context.Context, task int, once Once) Report {
	t := &r.tasks[task]
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(r.opt.Grace):
			cancel(errShutdown)
		case <-running.Done():
		}
	})()
	log := r.logger(t)
	a := &attempt{r: r, task: t, trigger: Manual, say: func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); once.Say != nil {
			once.Say(*t, line)
		} else {
			log.Info(line)
		}
	}}
	if once.DryRun {
		return a.dry(running)
	}
	rep, e := a.run(running)
	if !e.void {
		r.account(task, Manual, time.Time{}, rep, e)
		var panicked *PanicError
		if once.Ended == nil || errors.As(rep.Err, &panicked) { // a stack is for the log
			r.tell(task, rep, e)
		}
	}
	return rep
}

// refuse is the Commit of a dry run.
func refuse(context.Context, pgx.Tx, Result) error {
	return errors.New("a dry run commits nothing")
}

// dry lets the job say what it would do.
func (a *attempt) dry(ctx context.Context) Report {
	if a.task.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.task.Timeout, errTimeout)
		defer cancel()
	}
	began := time.Now()
	rep := Report{Task: *a.task, Started: a.r.opt.Clock.Now()}
	rep.Result, rep.Err = a.call(ctx, &Run{DryRun: true, Say: a.say, Commit: refuse})
	if rep.Err != nil {
		rep.Result.Outcome = Failure
	} else if rep.Result.Outcome == "" {
		rep.Result.Outcome = Noop
	}
	rep.Duration = time.Since(began)
	return rep
}

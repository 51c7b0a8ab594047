package jobs

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/state"
)

const (
	// nap bounds each sleep: after it the wall clock is read again, which may have been set.
	nap = 30 * time.Second
	// reconcileEvery is how often the leader looks for runs that died.
	reconcileEvery = time.Minute
	pruneEvery     = 24 * time.Hour
	maxPause       = 30 * time.Second
)

// lead is one term of leadership. stop is the process's own end, held that of the term.
func (r *Runner) lead(stop, held context.Context, term *leader.Term) {
	covered, ok := r.prepare(stop, held)
	if !ok {
		return
	}
	keeping, cancel := context.WithCancel(held)
	kept := make(chan struct{})
	go func() { defer close(kept); r.keep(keeping) }()
	defer func() { cancel(); <-kept }()

	now := r.opt.Clock.Now().In(r.opt.Location)
	tt, dues := newTimetable(r.schedules, covered, r.atStart, now)
	q := newQueue(r.tasks, r.opt.MaxParallel)
	r.adopt(q)
	defer r.setNext(nil, nil)
	r.hear(nil)
	for {
		r.release(q)
		r.take(held, term, q, dues)
		if !r.dispatch(stop, held, term, q) {
			break
		}
		r.setNext(tt, q)
		if !r.await(stop, held, tt) {
			break
		}
		r.hear(tt)
		dues = tt.collect(r.opt.Clock.Now().In(r.opt.Location))
	}
	if held.Err() == nil {
		r.drain() // as the leader: nobody takes over what is still being wound up
	}
}

// take puts what is due into the queue and notes what overlaps.
func (r *Runner) take(held context.Context, term *leader.Term, q *queue, dues []due) {
	if len(dues) == 0 {
		return
	}
	overlapping := q.add(dues)
	if len(overlapping) == 0 || term.Confirm(held) != nil { // after a sleep they are another's
		return
	}
	for _, d := range overlapping {
		r.side.Go(func() { r.skip(d) })
	}
}

// hear tells the timetable, if any, of the runs that have ended: an earlier term's are in the ledger.
func (r *Runner) hear(tt *timetable) {
	r.mu.Lock()
	over := r.over
	r.over = nil
	r.mu.Unlock()
	if tt == nil {
		return
	}
	now := r.opt.Clock.Now().In(r.opt.Location)
	for _, o := range over {
		tt.ended(o.due, o.served, now)
	}
}

// dispatch begins what may begin. It returns false when the term has ended.
func (r *Runner) dispatch(stop, held context.Context, term *leader.Term, q *queue) bool {
	glances, ready := q.glances(), q.ready()
	if len(glances)+len(ready) == 0 {
		return true
	}
	// The process may have slept: ask whether it still leads before anything is begun.
	if err := term.Confirm(held); err != nil || stop.Err() != nil {
		return false
	}
	for _, g := range glances {
		q.peep(g)
		r.peep(held, g)
	}
	for _, d := range ready {
		q.begin(d.task)
		r.begin(held, term, d)
	}
	return true
}

// await sleeps until something is due or a run has ended. It returns false when the term or the process is to end.
func (r *Runner) await(stop, held context.Context, tt *timetable) bool {
	sleep := nap
	if next := tt.wake(); !next.IsZero() {
		sleep = max(0, min(sleep, next.Sub(r.opt.Clock.Now())))
	}
	fires, free := r.opt.Clock.After(sleep)
	defer free()
	select {
	case <-stop.Done():
		return false
	case <-held.Done():
		return false
	case <-fires:
	case <-r.changed:
	}
	return stop.Err() == nil && held.Err() == nil
}

// adopt tells a new queue of the runs that an earlier term left, release of those that have ended.
func (r *Runner) adopt(q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.active {
		q.running[i] = turn{}
	}
}

func (r *Runner) release(q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range q.running {
		if r.active[i] == nil {
			q.end(i)
		}
	}
}

// prepare makes the ledger tell the truth and reads from it up to when each task's schedule is served. It tries
// until it succeeds (true) or the term ends.
func (r *Runner) prepare(stop, held context.Context) (covered []time.Time, ok bool) {
	ctx, cancel := context.WithCancel(held)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	r.awaitOwnRuns(ctx)
	pause, logged := time.Second, ""
	for {
		all, err := r.open(ctx)
		if err == nil {
			r.learn(all)
			for _, h := range all {
				covered = append(covered, h.covered)
			}
			return covered, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		if err.Error() != logged {
			logged = err.Error()
			r.opt.Log.Error("the ledger cannot be used, trying again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// awaitOwnRuns gives the runs of a term that was lost the time to write their end.
func (r *Runner) awaitOwnRuns(ctx context.Context) {
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for r.busyRuns() > 0 {
		select {
		case <-r.changed:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *Runner) open(ctx context.Context) ([]history, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := state.Ensure(ctx, r.opt.Pool); err != nil {
		return nil, err
	}
	if err := r.reconcile(ctx, r.opt.Pool); err != nil {
		return nil, err
	}
	return r.ledger.histories(ctx, r.tasks)
}

func (r *Runner) reconcile(ctx context.Context, db pg.Querier) error {
	dead, err := r.ledger.reconcile(ctx, db, r.activeIDs())
	for _, d := range dead {
		r.opt.Log.Warn("a run was interrupted", zap.String("job", d.Job), zap.String("target", d.Target),
			zap.Int64("run", d.ID), zap.Time("started", d.Started), zap.String("instance", d.Instance))
	}
	return err
}

// keep looks after the ledger while this process leads: dead runs, old rows.
func (r *Runner) keep(ctx context.Context) {
	var pruned time.Time
	for {
		if now := r.opt.Clock.Now(); !r.opt.History.IsZero() && (pruned.IsZero() || now.Sub(pruned) >= pruneEvery) {
			if err := r.prune(ctx, now); err == nil {
				pruned = now
			} else if ctx.Err() == nil {
				r.opt.Log.Warn("the ledger was not pruned, trying again", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reconcileEvery):
		}
		if err := r.reconcile(ctx, r.opt.Pool); err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			r.opt.Log.Warn("interrupted runs were not looked for, trying again", zap.Error(err))
		}
	}
}

func (r *Runner) prune(ctx context.Context, now time.Time) error {
	cut := r.opt.History.Before(now, r.opt.Location)
	for {
		n, err := r.ledger.prune(ctx, cut)
		if err != nil || n == 0 {
			return err
		}
		select { // a pause, so that nobody feels it
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

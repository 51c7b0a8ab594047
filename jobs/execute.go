package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
)

// PanicError is a job that panicked.
type PanicError struct {
	Value any
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// attempt is one run of one task, from the locks to the ledger.
type attempt struct {
	r       *Runner
	task    *Task
	trigger Trigger
	at      time.Time // the scheduled time; zero: manual
	leader  uint32    // the server process that must hold the leader's lock when the run begins; 0: none
	say     func(format string, args ...any)
	begun   func(id int64)
}

// begin starts a due task in the background.
func (r *Runner) begin(held context.Context, term *leader.Term, d due) {
	t := &r.tasks[d.task]
	ctx, cancel := context.WithCancelCause(held)
	active := &activeRun{cancel: cancel}
	r.mu.Lock()
	r.active[d.task] = active
	r.status[d.task].Running = r.opt.Clock.Now()
	r.mu.Unlock()
	log := r.logger(t)
	a := &attempt{r: r, task: t, trigger: d.trigger, at: d.at, leader: term.PID(),
		say:   func(format string, args ...any) { log.Info(fmt.Sprintf(format, args...)) },
		begun: func(id int64) { r.mu.Lock(); active.id = id; r.mu.Unlock() }}
	go func() {
		defer cancel(nil)
		rep, e := a.run(ctx)
		r.mu.Lock()
		if !r.ended {
			r.side.Add(1)
			defer r.side.Done()
		}
		delete(r.active, d.task)
		r.status[d.task].Running = time.Time{}
		r.over = append(r.over, runOver{d, e.covers})
		r.mu.Unlock()
		if !e.void {
			r.complete(d.task, d.trigger, d.at, rep, e)
		}
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}()
}

// skip notes a scheduled time at which the run before still goes on.
func (r *Runner) skip(d due) {
	t := &r.tasks[d.task]
	a := &attempt{r: r, task: t, trigger: d.trigger, at: d.at}
	e := ending{Result: Result{Outcome: Skipped, Summary: "the run before still goes on; this time was skipped"}}
	rep := Report{Task: *t, Result: e.Result, Started: r.opt.Clock.Now()}
	rep.Run = a.note(e)
	r.complete(d.task, d.trigger, d.at, rep, e)
}

// run takes the locks, writes the ledger row, does the work and completes the row.
func (a *attempt) run(ctx context.Context) (Report, ending) {
	rep := Report{Task: *a.task, Started: a.r.opt.Clock.Now()}
	began := time.Now()
	e := a.guarded(ctx, &rep)
	rep.Duration = time.Since(began)
	rep.Result = e.Result
	if e.Outcome == Failure && rep.Err == nil {
		rep.Err = errors.New(e.Err)
	} else if e.Outcome != Failure {
		rep.Err = nil
	}
	return rep, e
}

func (a *attempt) guarded(ctx context.Context, rep *Report) ending {
	session, busy, err := a.enter(ctx, rep)
	if session != nil {
		defer session.Close()
	}
	switch {
	case err != nil:
		return a.neverBegan(ctx, rep, err)
	case busy != "":
		e := ending{Result: Result{Outcome: Skipped, Summary: busy}}
		rep.Run = a.note(e)
		return e
	}
	if a.begun != nil {
		a.begun(rep.Run)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(session.Context(), func() { cancel(context.Cause(session.Context())) })()
	var e ending
	e, rep.Err = a.work(ctx, session, rep.Run)
	return a.settle(session, rep.Run, e)
}

// enter opens the run's session, takes its locks and writes its row. A scheduled run waits a while for a server that has
// no free connection, or none at all just now.
func (a *attempt) enter(ctx context.Context, rep *Report) (session *leader.Session, busy string, err error) {
	over := time.Now()
	if a.trigger != Manual {
		over = over.Add(a.r.opt.BeginWait)
	}
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		session, busy, err = a.tryEnter(ctx, rep)
		var connect *pg.ConnectError
		var lost *leader.LostError
		if err == nil || ctx.Err() != nil || time.Now().After(over) || !errors.As(err, &connect) && !errors.As(err, &lost) {
			return session, busy, err
		}
		select {
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (a *attempt) tryEnter(ctx context.Context, rep *Report) (session *leader.Session, busy string, err error) {
	session, err = leader.Open(ctx, a.r.opt.URL, ": "+a.task.label(), a.r.opt.Pulse)
	if err != nil {
		return nil, "", err
	}
	busy, err = a.lock(ctx, session)
	if err == nil && busy == "" {
		// Whoever had the locks before may have lost them without knowing, and be about to commit.
		err = session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return a.r.reconcile(ctx, conn) })
	}
	if err == nil && busy == "" {
		rep.Run, err = a.r.ledger.begin(ctx, session, a.task, a.trigger, a.at, a.leader)
	}
	if err != nil {
		session.Close()
		return nil, "", err
	}
	return session, busy, nil
}

// work runs the job and says how it ended.
func (a *attempt) work(ctx context.Context, session *leader.Session, id int64) (ending, error) {
	if a.task.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.task.Timeout, errTimeout)
		defer cancel()
	}
	result, err := a.call(ctx, &Run{ID: id, Say: a.say, Commit: a.r.ledger.commit(id)})
	if err == nil {
		if result.Outcome == "" {
			result.Outcome = Success
		}
		e := ending{Result: result, covers: true}
		if result.Outcome == Failure {
			e.Err = result.Summary
		}
		return e, nil
	}
	result.Outcome = Failure
	// A fault of the server may have met the job before it met the session.
	if ctx.Err() == nil && session.Ping(context.WithoutCancel(ctx)) != nil {
		<-ctx.Done()
	}
	undone := "; what it had not committed was rolled back"
	var left interface{ Left() string }
	if errors.As(err, &left) {
		undone += "; " + left.Left()
	}
	var lost *leader.LostError
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errShutdown):
		return ending{Result: result, Err: errShutdown.Error() + undone}, fmt.Errorf("%w: %w", errShutdown, err)
	case errors.As(cause, &lost):
		return ending{Result: result, Err: "interrupted: " + lost.Error() + undone}, fmt.Errorf("%w: %w", lost, err)
	case errors.Is(cause, errTimeout):
		err = fmt.Errorf("not done within its timeout of %s%s: %w", a.task.Timeout, undone, err)
	}
	return ending{Result: result, Err: err.Error(), covers: true}, err
}

// call keeps a panic from ending the daemon.
func (a *attempt) call(ctx context.Context, run *Run) (result Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: string(debug.Stack())}
		}
	}()
	return a.task.Run(ctx, run)
}

// lock takes the locks of the task's objects, in order, and waits a while for one that somebody else has; after a second the log
// says for whom, and at the end busy does.
func (a *attempt) lock(ctx context.Context, session *leader.Session) (busy string, err error) {
	began := time.Now()
	var told bool
	for _, object := range a.task.Locks {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
			got, err := session.TryLock(ctx, ObjectLock(object))
			if err != nil {
				return "", fmt.Errorf("lock %s: %w", object, err)
			}
			if got {
				break
			}
			waited := time.Since(began)
			if over := waited > a.r.opt.LockWait; over || waited > time.Second && !told {
				err := session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
					busy = a.r.ledger.busy(ctx, conn, object)
					return nil
				})
				if over || err != nil {
					return "busy: " + busy, err
				}
				told = true
				a.r.opt.Log.Info("waits for another", zap.String("job", a.task.Job), zap.String("target", a.task.Target),
					zap.String("because", busy), zap.String("at_most", a.r.opt.LockWait.String()))
			}
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-time.After(time.Duration(float64(pause) * (0.5 + rand.Float64()))):
			}
		}
	}
	return "", nil
}

// neverBegan is a run that failed before its work: no server, no right to the ledger. Its scheduled time
// is not served. When it was told to stop, nothing is worth noting.
func (a *attempt) neverBegan(ctx context.Context, rep *Report, err error) ending {
	rep.Err = fmt.Errorf("not begun: %w", err)
	e := ending{Result: Result{Outcome: Failure}, Err: rep.Err.Error(), void: ctx.Err() != nil || errors.Is(err, errNotLeading)}
	if !e.void {
		rep.Run = a.note(e)
	}
	return e
}

// note writes a run that did not come to begin into the ledger, if that can be done at once. It returns the row's number or 0.
func (a *attempt) note(e ending) int64 {
	ctx, cancel := context.WithTimeout(a.r.life, a.r.opt.Pulse.Deadline)
	defer cancel()
	id, err := a.r.ledger.note(ctx, a.r.opt.Pool, a.task, a.trigger, a.at, e)
	if err != nil {
		a.r.logger(a.task).Warn("the run is not in the ledger", zap.Error(err))
	}
	return id
}

// settle completes the row, again and again for a while when the server cannot be reached, and returns what the row
// says: the job may have completed it in its own transaction, even though it then learned of no commit.
func (a *attempt) settle(session *leader.Session, id int64, e ending) ending {
	ctx, cancel := context.WithTimeout(a.r.life, a.r.opt.Settle)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		stored, err := a.write(ctx, session, id, e)
		if err == nil {
			return stored
		}
		select {
		case <-ctx.Done():
			a.r.logger(a.task).Error("the end of the run is not in the ledger, which will show it as interrupted",
				zap.Int64("run", id), zap.String("outcome", string(e.Outcome)), zap.String("summary", e.Summary), zap.Error(err))
			return e
		case <-time.After(pause):
		}
	}
}

func (a *attempt) write(ctx context.Context, session *leader.Session, id int64, e ending) (stored ending, err error) {
	put := func(ctx context.Context, db execer) error {
		written, err := a.r.ledger.end(ctx, db, id, e)
		if stored = e; err == nil && !written {
			if err = a.r.ledger.amend(ctx, db, id, e); err == nil {
				stored, err = a.r.ledger.ended(ctx, db, id)
			}
		}
		if gone(err) {
			a.r.logger(a.task).Warn("the run's row in the ledger is gone", zap.Int64("run", id))
			stored, err = e, nil
		}
		return err
	}
	err = session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return put(ctx, conn) })
	if err == nil || ctx.Err() != nil {
		return stored, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.r.opt.Pulse.Deadline)
	defer cancel()
	return stored, put(ctx, a.r.opt.Pool)
}

// complete tells everybody of a run that has ended: status, observer, log.
func (r *Runner) complete(task int, trigger Trigger, at time.Time, rep Report, e ending) {
	r.account(task, trigger, at, rep, e)
	r.tell(task, rep, e)
}

// account takes a run that has ended into the status.
func (r *Runner) account(task int, trigger Trigger, at time.Time, rep Report, e ending) {
	t := &r.tasks[task]
	rec := RunRecord{ID: rep.Run, Job: t.Job, Target: t.Target, Trigger: trigger, Scheduled: at,
		Started: rep.Started, Finished: rep.Started.Add(rep.Duration), Outcome: e.Outcome, Summary: e.Summary, Error: e.Err, Instance: r.opt.Instance}
	r.count(task, rec, e.Outcome != Failure && e.covers)
	if r.opt.Observer != nil {
		r.opt.Observer.Finished(*t, rep.Result, rep.Err, rep.Duration)
	}
}

// tell logs how a run ended.
func (r *Runner) tell(task int, rep Report, e ending) {
	log := r.logger(&r.tasks[task]).With(zap.Int64("run", rep.Run), zap.String("outcome", string(e.Outcome)), zap.Duration("took", rep.Duration))
	var panicked *PanicError
	switch {
	case errors.As(rep.Err, &panicked):
		log.Error("job panicked", zap.String("error", e.Err), zap.String("stack", panicked.Stack))
	case e.Outcome == Failure && !e.covers:
		log.Warn("job interrupted", zap.String("error", e.Err))
	case e.Outcome == Failure:
		log.Error("job failed", zap.String("error", e.Err))
	case !e.covers:
		log.Warn("job skipped", zap.String("summary", e.Summary))
	case e.Outcome == Success:
		log.Info("job done", zap.String("summary", e.Summary))
	default:
		log.Debug("job done", zap.String("summary", e.Summary))
	}
}

func (r *Runner) logger(t *Task) *zap.Logger {
	log := r.opt.Log.With(zap.String("job", t.Job))
	if t.Target != "" {
		log = log.With(zap.String("target", t.Target))
	}
	return log
}

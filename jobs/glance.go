package jobs

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// Glance is a look at many targets of a job at once. Where most runs find nothing to do, it spares each of them a session,
// its locks and its rows: one query tells which targets are idle, and one statement writes their runs into the ledger. Tasks
// that share a Glance, and are due at the same moment, are asked about together.
type Glance struct {
	// Idle returns, by target, what a run would report where there is nothing to do: a noop, or a skip because it is
	// needless. The other targets are run. It changes nothing and waits for no lock, so it needs none: that there
	// is nothing to do is true whoever works on the object. When it fails, all targets are run, and each says for itself what is wrong.
	Idle func(ctx context.Context, targets []string) (map[string]Result, error)
}

// glanceTimeout bounds one look. A server that takes longer is left to the runs, which wait for it.
const glanceTimeout = 30 * time.Second

// glancing is one look that goes on. work is written before its tasks leave Runner.active, and read after.
type glancing struct {
	glance *Glance
	dues   []due
	work   map[int]bool // tasks that must run
}

// peep asks in the background which of the tasks have nothing to do, and completes those.
func (r *Runner) peep(held context.Context, g *glancing) {
	ctx, cancel := context.WithCancelCause(held)
	started := r.opt.Clock.Now()
	r.mu.Lock()
	for _, d := range g.dues {
		r.active[d.task] = &activeRun{cancel: cancel}
		r.status[d.task].Running = started
	}
	r.mu.Unlock()
	go func() {
		defer cancel(nil)
		began := time.Now()
		idle, ids := r.idle(ctx, g)
		took := time.Since(began)
		r.mu.Lock()
		if !r.ended {
			r.side.Add(1)
			defer r.side.Done()
		}
		for _, d := range g.dues {
			delete(r.active, d.task)
			r.status[d.task].Running = time.Time{}
			_, ok := idle[d.task]
			g.work[d.task] = !ok && ctx.Err() == nil // else as if it had not been asked
		}
		r.mu.Unlock()
		for _, d := range g.dues {
			if e, ok := idle[d.task]; ok {
				r.complete(d.task, d.trigger, d.at, Report{Task: r.tasks[d.task], Run: ids[d.task], Result: e.Result, Started: started, Duration: took}, e)
			}
		}
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}()
}

// idle asks, and writes the runs of the idle tasks into the ledger. What did not get there is not idle. Both maps are by task;
// ids are the rows.
func (r *Runner) idle(ctx context.Context, g *glancing) (idle map[int]ending, ids map[int]int64) {
	targets := make([]string, len(g.dues))
	for i, d := range g.dues {
		targets[i] = r.tasks[d.task].Target
	}
	short, cancel := context.WithTimeout(ctx, glanceTimeout)
	defer cancel()
	log := r.opt.Log.With(zap.String("job", r.tasks[g.dues[0].task].Job), zap.Int("targets", len(targets)))
	began := time.Now()
	found, err := g.glance.ask(short, targets)
	if err != nil {
		if ctx.Err() == nil {
			log.Debug("a look at all targets failed, each is run", zap.Error(err))
		}
		return nil, nil
	}
	idle = map[int]ending{}
	var list []idleRun
	for i, d := range g.dues {
		if result, ok := found[targets[i]]; ok && (result.Outcome == Noop || result.Outcome == Skipped) {
			e := ending{Result: result, covers: true}
			idle[d.task] = e
			list = append(list, idleRun{&r.tasks[d.task], d, e})
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	ids, err = r.ledger.noteIdle(short, time.Since(began), list)
	if err != nil {
		if ctx.Err() == nil {
			log.Debug("idle runs are not in the ledger, each target is run", zap.Error(err))
		}
		return nil, nil
	}
	return idle, ids
}

// ask keeps a panic from ending the daemon.
func (g *Glance) ask(ctx context.Context, targets []string) (idle map[string]Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w\n%s", &PanicError{Value: v}, debug.Stack())
		}
	}()
	return g.Idle(ctx, targets)
}

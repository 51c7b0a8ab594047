package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// Options say what to run, and how.
type Options struct {
	URL      string
	Conn     *pgx.Conn // a session to use in place of one of its own; its settings change
	Plan     *plan.Plan
	Declared *catalog.Snapshot // what the plan leads to
	Scope    catalog.Scope     // what to read the database by
	// Remake plans once more from another state of the database; nil: plan.Make.
	Remake func(ctx context.Context, live *catalog.Snapshot) (*plan.Plan, error)

	AllowHazards []plan.HazardName
	// SafeOnly runs only the statements that have no hazard and do not hang on one; the rest is reported as left.
	SafeOnly bool

	Patience   pg.Patience   // for each transaction; zero: pg.Gentle
	Builds     pg.Patience   // for each statement outside a transaction; zero: Unhurried
	RunnerWait time.Duration // for another runner; zero: not at all
	Instance   string        // this process, for the journal
	Progress   func(Event)   // nil: nobody listens
}

// Unhurried is the default patience for concurrent builds: they wait for every older transaction to end, and what
// they hold meanwhile blocks neither readers nor writers.
func Unhurried() pg.Patience {
	return pg.Patience{LockTimeout: 30 * time.Minute, Attempts: 12, Pause: time.Second, MaxPause: time.Minute}
}

// EventKind says what happened.
type EventKind string

// The events.
const (
	Waiting EventKind = "waiting" // for another runner or a lock; Message says for what
	Begun   EventKind = "begun"
	Ended   EventKind = "ended" // the statement has run; what is in a transaction counts once that is committed
	Skipped EventKind = "skipped"
	Resumed EventKind = "resumed" // an earlier plan was killed half-way
	Remade  EventKind = "remade"  // partitions came or went since the plan was made
)

// Event tells of one step.
type Event struct {
	Kind      EventKind
	Index, Of int // of the statement, from 0
	Statement *plan.Statement
	Elapsed   time.Duration
	Message   string
}

// Report says what was done.
type Report struct {
	Ran     int              // statements
	Already bool             // the database was already as declared
	Waits   int              // attempts that ran into a lock
	Left    []plan.Statement // with SafeOnly: what was not run
	Elapsed time.Duration
}

// Run applies the plan. Its errors: *HazardError, *StaleError, *RunnerError (nothing was changed), *PartialError,
// *VerifyError, those of package state, and connection errors.
func Run(ctx context.Context, o Options) (Report, error) {
	start := time.Now()
	if !o.SafeOnly {
		if needed, statements := o.Plan.NotAllowed(o.AllowHazards); len(needed) > 0 {
			return Report{}, &HazardError{needed, statements, o.AllowHazards}
		}
	}
	r := &runner{Options: o}
	r.defaults()
	var err error
	if r.conn = o.Conn; r.conn == nil {
		if r.conn, err = pg.Dedicated(ctx, o.URL, ""); err != nil {
			return Report{}, err
		}
		defer func() { r.conn.Close(context.WithoutCancel(ctx)) }()
	}
	err = r.run(ctx)
	r.report.Elapsed = time.Since(start)
	return r.report, err
}

type runner struct {
	Options
	conn   *pgx.Conn
	plan   *plan.Plan // what is run: Options.Plan, or its safe part
	id     int64      // in the journal
	done   []bool
	ending bool // the commit is under way: a lost connection leaves open whether it took place
	report Report
}

func (r *runner) defaults() {
	if r.Patience.Attempts == 0 {
		r.Patience = pg.Gentle
	}
	if r.Builds.Attempts == 0 {
		r.Builds = Unhurried()
	}
	if r.Progress == nil {
		r.Progress = func(Event) {}
	}
	if r.Remake == nil {
		r.Remake = func(_ context.Context, live *catalog.Snapshot) (*plan.Plan, error) {
			return plan.Make(live, r.Declared, plan.Options{Database: r.plan.Database})
		}
	}
	r.plan = r.Options.Plan
}

func (r *runner) run(ctx context.Context) error {
	server, err := pg.PreflightPrimary(ctx, r.conn)
	if err != nil {
		return err
	}
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock(ctx)
	if err := r.settle(ctx); err != nil {
		return err
	}
	live, err := r.read(ctx)
	if err != nil {
		return err
	}
	if err := r.check(ctx, live); err != nil || r.report.Already {
		return err
	}
	if r.SafeOnly {
		r.plan, r.report.Left = r.plan.Safe()
	}
	if !r.plan.Empty() {
		if err := r.rights(ctx, server.User); err != nil {
			return err
		}
		if err := state.Ensure(ctx, r.conn); err != nil {
			return err
		}
		if err := r.begin(ctx); err != nil {
			return err
		}
		if err := r.statements(ctx); err != nil {
			r.fail(ctx, err)
			return err
		}
	}
	err = r.verify(ctx)
	r.finish(ctx, err)
	return err
}

// settle gives the session what the plan's statements rely on. A process that is stopped gives the runners' lock back after a while; the pauses
// between attempts are a minute at most.
func (r *runner) settle(ctx context.Context) error {
	_, err := r.conn.Exec(ctx, `SET check_function_bodies = off; SET default_tablespace = ''; SET default_table_access_method = 'heap';
		SET xmloption = content; SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed';
		SET default_transaction_deferrable = off; SET row_security = on; SET idle_session_timeout = '5min'`)
	if err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	return nil
}

// read reads the database's schema, waiting for locks as patiently as any transaction of the plan.
func (r *runner) read(ctx context.Context) (*catalog.Snapshot, error) {
	var out *catalog.Snapshot
	err := r.patience(r.Patience, nil).Do(ctx, func() error {
		s, err := catalog.ReadDatabase(ctx, r.conn, r.Scope, int(r.Patience.LockTimeout.Milliseconds()))
		out = s
		return err
	})
	return out, err
}

// check holds the plan against the database and the sources.
func (r *runner) check(ctx context.Context, live *catalog.Snapshot) error {
	if r.Declared.Fingerprint() != r.plan.To {
		return &StaleError{Sources: true}
	}
	fingerprint := live.Fingerprint()
	switch {
	case fingerprint == r.plan.To:
		r.report.Already = true
		return nil
	case fingerprint != r.plan.From:
		return &StaleError{}
	case r.plan.SamePartitions(live):
		return nil
	}
	remade, err := r.Remake(ctx, live)
	if err != nil {
		return err
	}
	if needed, statements := remade.NotAllowed(r.AllowHazards); len(needed) > 0 && !r.SafeOnly {
		return &HazardError{needed, statements, r.AllowHazards}
	}
	r.plan = remade
	r.Progress(Event{Kind: Remade, Message: "partitions came or went since the plan was made; it takes them in"})
	return nil
}

// verify reads the database again. With SafeOnly, what is left must hang on a hazard.
func (r *runner) verify(ctx context.Context) error {
	after, err := r.read(ctx)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	differences := catalog.Diff(after, r.Declared)
	if len(differences) == 0 {
		return nil
	}
	if r.SafeOnly {
		rest, err := r.Remake(ctx, after)
		if err != nil {
			return err
		}
		safe, left := rest.Safe()
		if r.report.Left = left; safe.Empty() {
			return nil
		}
	}
	return &VerifyError{differences}
}

// patience counts and tells each wait.
func (r *runner) patience(p pg.Patience, s *plan.Statement) pg.Patience {
	p.Waited = func(attempt int, err error) {
		r.report.Waits++
		r.Progress(Event{Kind: Waiting, Statement: s, Of: len(r.plan.Statements), Message: fmt.Sprintf("attempt %d of %d: %v", attempt, p.Attempts, err)})
	}
	return p
}

package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pgtender/pgtender/internal/pg"
)

// lockTimeout is how long a check waits for any lock: a table that somebody has locked costs an answer, not the round.
const lockTimeout = 100 * time.Millisecond

// Beginner starts the read-only transactions of checks: a pool.
type Beginner interface {
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// Options are what a collector works with.
type Options struct {
	Pool   Beginner
	Checks []Check
	Now    func() time.Time // nil: time.Now
	Log    *zap.Logger      // nil: silent
	// Parallel is how many checks ask the server at once; 0: two.
	Parallel int
}

// Collector runs checks, each at its own interval, and keeps the last answers in memory. Nobody who asks it waits for the
// server, and no check waits for another: each has a deadline.
type Collector struct {
	bundles [][]Check // most of one check
	count   int       // of checks
	pool    Beginner
	now     func() time.Time
	log     *zap.Logger
	slots   chan struct{}
	ready   chan struct{}   // closed when each check was tried once
	nudges  []chan struct{} // of each bundle

	mu      sync.RWMutex
	results map[string]Result
	logged  map[string]bool // checks whose failure is in the log
	away    bool            // that the server is not there is in the log
}

// NewCollector makes a collector; Run starts it.
func NewCollector(o Options) *Collector {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	c := &Collector{bundles: bundled(o.Checks), count: len(o.Checks), pool: o.Pool, now: o.Now, log: o.Log,
		slots: make(chan struct{}, o.Parallel), ready: make(chan struct{}), results: map[string]Result{}, logged: map[string]bool{}}
	for range c.bundles {
		c.nudges = append(c.nudges, make(chan struct{}, 1))
	}
	if c.count == 0 {
		close(c.ready)
	}
	return c
}

// bundled puts checks of one bundle together, in their order.
func bundled(all []Check) [][]Check {
	var out [][]Check
	for _, check := range all {
		i := slices.IndexFunc(out, func(b []Check) bool { return check.Bundle != "" && b[0].Bundle == check.Bundle })
		if i < 0 {
			out = append(out, []Check{check})
			continue
		}
		out[i] = append(out[i], check)
	}
	return out
}

// Run collects until ctx ends, and then returns nil. It may be called once.
func (c *Collector) Run(ctx context.Context) error {
	var group errgroup.Group
	for i := range c.bundles {
		group.Go(func() error {
			c.loop(ctx, c.bundles[i], c.nudges[i])
			return nil
		})
	}
	return group.Wait()
}

// A check that was not ok is tried again sooner, as what was mended should be seen: after troubledEvery, or a part of its interval where
// that is longer, so that a dear check does not become a burden by a warning that stands for months.
const (
	troubledEvery = 10 * time.Second
	troubledPart  = 6
)

// loop runs one bundle at its interval, which jitter keeps apart from the others', and when it is nudged.
func (c *Collector) loop(ctx context.Context, bundle []Check, nudge <-chan struct{}) {
	wait := rand.N(100 * time.Millisecond)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-nudge:
			timer.Stop()
		}
		every := bundle[0].Every
		if c.try(ctx, bundle) != OK {
			every = min(every, max(troubledEvery, every/troubledPart))
		}
		wait = every - every/10 + rand.N(every/5+1)
	}
}

// Nudge has the checks of the groups, or all when none is named, tried again at once: something was done that they are about.
// It does not wait.
func (c *Collector) Nudge(groups ...string) {
	for i, bundle := range c.bundles {
		if len(groups) > 0 && !slices.ContainsFunc(bundle, func(c Check) bool { return slices.Contains(groups, c.Group) }) {
			continue
		}
		select {
		case c.nudges[i] <- struct{}{}:
		default: // it was nudged already
		}
	}
}

// Once runs every check once and returns the answers, for `pgtender check`.
func (c *Collector) Once(ctx context.Context) []Result {
	var group errgroup.Group
	for _, bundle := range c.bundles {
		group.Go(func() error {
			c.try(ctx, bundle)
			return nil
		})
	}
	_ = group.Wait()
	return c.Results()
}

// Results are the last answers, sorted by group and name; a check that was never tried is not among them.
func (c *Collector) Results() []Result {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]Result, 0, len(c.results))
	for _, r := range c.results {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Result) int {
		return cmp.Or(cmp.Compare(groupRank(a.Group), groupRank(b.Group)), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Check, b.Check))
	})
	return out
}

// groupRank is the order in which people read the groups.
func groupRank(group string) int {
	return slices.Index([]string{"partitions", "archive", "views", "schema", "jobs", "sessions", "vacuum", "replication", "server", "own"}, group)
}

// Ready reports whether each check was tried once.
func (c *Collector) Ready() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// Now is the collector's clock, by which ages are told.
func (c *Collector) Now() time.Time { return c.now() }

// try runs one bundle and keeps the answers, unless ctx ended meanwhile. It returns the worst state.
func (c *Collector) try(ctx context.Context, bundle []Check) Status {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return Unknown
	}
	answers := c.ask(ctx, bundle)
	if ctx.Err() != nil {
		return Unknown
	}
	worst := OK
	for i, check := range bundle {
		worst = Worse(worst, c.keep(check, answers[i]))
	}
	return worst
}

// answer is what one try of a check yielded.
type answer struct {
	findings []Finding
	err      error
	took     time.Duration
}

func (c *Collector) ask(ctx context.Context, bundle []Check) []answer {
	deadline := bundle[0].Deadline
	ctx, stop := context.WithTimeoutCause(ctx, deadline, errDeadline)
	defer stop()
	answers := make([]answer, len(bundle))
	done, begun := 0, time.Now()
	started := begun
	err := c.inTx(ctx, bundle[0], func(tx pgx.Tx) error {
		for i, check := range bundle {
			a := &answers[i]
			a.findings, a.err = run(ctx, check, tx)
			a.took = time.Since(started)
			started = time.Now()
			if done = i; a.err != nil { // the transaction is of no use any more
				return a.err
			}
			done++
		}
		return nil
	})
	late := errors.Is(context.Cause(ctx), errDeadline) || pg.Is(err, pg.QueryCanceled) && time.Since(begun) >= deadline
	if err != nil && !bundle[0].Memory && late {
		err = &lateError{deadline, err}
	}
	for i := done; i < len(answers); i++ { // none, when all is well
		answers[i].findings, answers[i].err = nil, err
		if i > done {
			answers[i].err = fmt.Errorf("check %s%s%w", bundle[done].Name, Together, err)
		}
	}
	answers[min(done, len(answers)-1)].took += time.Since(started)
	return answers
}

// Together stands between the name of a check and its failure, where that is the failure of another too.
const Together = ", which is asked together with it, failed: "

// run keeps a panic from ending the daemon.
func run(ctx context.Context, check Check, tx pgx.Tx) (findings []Finding, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("pgtender has an error that should be reported: check %s panicked: %v\n%s", check.Name, v, debug.Stack())
		}
	}()
	return check.Run(ctx, tx)
}

var errDeadline = errors.New("the check's deadline has passed")

// lateError is why a check has no answer whose deadline passed.
type lateError struct {
	after time.Duration
	err   error
}

func (e *lateError) Error() string {
	return fmt.Sprintf("no answer within %s: the server hangs or is overloaded, or the check takes longer", e.after)
}
func (e *lateError) Unwrap() error { return e.err }

// inTx gives f a read-only transaction with timeouts, in one round trip, and rolls it back: nothing is to be committed.
func (c *Collector) inTx(ctx context.Context, check Check, f func(tx pgx.Tx) error) error {
	if check.Memory {
		return f(nil)
	}
	tx, err := c.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: fmt.Sprintf(
		"BEGIN READ ONLY; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d; %s",
		lockTimeout.Milliseconds(), check.Deadline.Milliseconds(), pg.HoldFirst())})
	if err != nil {
		return pg.Explain(err)
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = tx.Rollback(ctx) // nothing was written; a broken connection is the pool's to drop
	}()
	return f(tx)
}

// keep stores an answer. A failure takes the place of the findings, so that no stale value is shown, but not of At, so that
// its age goes on.
func (c *Collector) keep(check Check, a answer) Status {
	err := a.err
	r := Result{Check: check.Name, Group: check.Group, Unit: check.Unit, Off: check.Off, Findings: a.findings, At: c.now(), Took: a.took, Err: err}
	if len(a.findings) == 0 {
		r.Findings = []Finding{{Message: "nothing found"}}
	}
	if err != nil {
		r.Findings = []Finding{{Status: Unknown, Message: explain(err), Remedy: cure(err)}}
	}
	c.mu.Lock()
	last, tried := c.results[check.Name]
	if err != nil {
		r.At = last.At
	}
	c.results[check.Name] = r
	say := c.news(check, err, last.At.IsZero())
	if !tried && len(c.results) == c.count {
		close(c.ready)
	}
	c.mu.Unlock()
	say()
	return r.Status()
}

// news returns what is to be logged of an answer, when something changed. That the server is not there is said once, not once for
// each check. It is called with mu held; what it returns, without.
func (c *Collector) news(check Check, err error, never bool) func() {
	logged, away := c.logged[check.Name], c.away
	name := zap.String("check", check.Name)
	switch {
	case err != nil && unreachable(err):
		if c.away = away || !check.Memory; c.away != away {
			return func() { c.log.Warn("the checks do not reach the server", zap.Error(err)) }
		}
	case err != nil && !logged && never && notYet(err): // what never answered is not there yet
		return func() { c.log.Debug("check has no answer yet", name, zap.Error(err)) }
	case err != nil && !logged:
		c.logged[check.Name] = true
		return func() { c.log.Warn("check fails", name, zap.Error(err)) }
	case err == nil && !check.Memory && away:
		c.away, c.logged[check.Name] = false, false
		return func() { c.log.Info("the checks reach the server again") }
	case err == nil && logged:
		c.logged[check.Name] = false
		return func() { c.log.Info("check works again", name) }
	}
	return func() {}
}

// unreachable reports whether a check failed because there is no server, or no connection to it any more.
func unreachable(err error) bool {
	var late *lateError // which a server that is there gives too
	var refused *pg.ConnectError
	var network net.Error
	return !errors.As(err, &late) && (errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) ||
		pg.Is(err, pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow))
}

// notYetError is why a check has no answer whose source has not been filled for the first time.
type notYetError string

func (e notYetError) Error() string { return string(e) }

// notYet reports whether a check cannot answer because pgtender has not worked on this database, or not long enough.
func notYet(err error) bool {
	var e notYetError
	return errors.As(err, &e) || noLedger(err)
}

// noLedger reports whether pgtender's own schema, or a table in it, is not there. The server names the relation as the query did.
func noLedger(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == pg.UndefinedTable || e.Code == pg.InvalidSchemaName) &&
		strings.Contains(e.Message, "pgtender")
}

// Failed is before the cause in what a check says that failed.
const Failed = "the check failed: "

// explain puts a check's failure in one line.
func explain(err error) string {
	switch {
	case noLedger(err):
		return "pgtender has not worked on this database yet"
	case pg.Is(err, pg.LockNotAvailable):
		return Failed + fmt.Sprintf("an object that it reads is locked by another session (waited %s)", lockTimeout)
	case pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName):
		return Failed + err.Error() + " (was pgtender apply run here?)"
	}
	return Failed + oneLine(err.Error())
}

func cure(err error) string {
	var late *lateError
	switch {
	case noLedger(err):
		return "pgtender run"
	case pg.Is(err, pg.InsufficientPrivilege):
		return "pgtender grants"
	case errors.As(err, &late), pg.Is(err, pg.QueryCanceled):
		return "SELECT pid, state, wait_event_type, wait_event, query FROM pg_stat_activity WHERE state <> 'idle';  -- what it is busy with; if this does not answer either, see the server's log"
	}
	return ""
}

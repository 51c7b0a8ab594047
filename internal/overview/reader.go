package overview

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

const (
	every       = time.Minute
	settle      = time.Second // at least, from a nudge to the reading
	deadline    = 5 * time.Second
	lockTimeout = 100 * time.Millisecond
)

// Beginner starts read-only transactions: a pool.
type Beginner interface {
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// Task names one job on one target, as the ledger does.
type Task struct{ Job, Target string }

// Options are what a reader works with.
type Options struct {
	Pool  Beginner
	Env   *config.Env
	Tasks func() []Task    // whose runs are read; nil: none
	Now   func() time.Time // nil: time.Now
	Log   *zap.Logger      // nil: silent
}

// Part is one part of a reading.
type Part[T any] struct {
	Value T
	At    time.Time // when Value was read, by the daemon's clock; zero: never
	Err   error     // why the last try failed, so that Value is of At and not of now; nil: it did not
}

// Reading is what was read last.
type Reading struct {
	Tables   Part[[]Table]
	Runs     Part[map[Task][]Run] // of each task the last ones that ended, the newest first
	Views    Part[[]View]
	Settings Part[[]Setting]
	Changes  Part[[]Change] // the newest first
	Plans    Part[[]Plan]   // the newest first
}

// Reader reads every minute, and when it is nudged. Run starts it; Latest may be called at any time.
type Reader struct {
	opt   Options
	nudge chan struct{}

	mu      sync.RWMutex
	reading Reading
}

// NewReader makes a reader.
func NewReader(o Options) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Tasks == nil {
		o.Tasks = func() []Task { return nil }
	}
	return &Reader{opt: o, nudge: make(chan struct{}, 1)}
}

// Latest is the last reading. Nobody may change what it refers to.
func (r *Reader) Latest() Reading {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.reading
}

// Nudge has it read soon: a run has ended. It does not wait.
func (r *Reader) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// Run reads until ctx ends.
func (r *Reader) Run(ctx context.Context) {
	for {
		started := time.Now()
		r.Read(ctx)
		// Runs that end together cost one reading, and jobs that run all the time cost a twentieth of one session at most.
		pause := min(max(settle, 20*time.Since(started)), every)
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			continue
		case <-r.nudge:
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Read reads everything once.
func (r *Reader) Read(ctx context.Context) {
	env := r.opt.Env
	part(ctx, r, "partitions", &r.reading.Tables, func(ctx context.Context, q pg.Querier) ([]Table, error) { return tables(ctx, q, env) })
	part(ctx, r, "runs", &r.reading.Runs, func(ctx context.Context, q pg.Querier) (map[Task][]Run, error) { return runs(ctx, q, r.opt.Tasks()) })
	part(ctx, r, "views", &r.reading.Views, func(ctx context.Context, q pg.Querier) ([]View, error) { return views(ctx, q, env) })
	part(ctx, r, "settings", &r.reading.Settings, settings)
	part(ctx, r, "changes of settings", &r.reading.Changes, changes)
	part(ctx, r, "applied plans", &r.reading.Plans, plans)
}

// part reads one part, and keeps what it held before when that fails. A database that pgtender has not worked on yet has nothing to be
// read of its own schema: that is no failure.
func part[T any](ctx context.Context, r *Reader, name string, into *Part[T], read func(context.Context, pg.Querier) (T, error)) {
	var got T
	inner, cancel := context.WithTimeout(ctx, deadline)
	err := inTx(inner, r.opt.Pool, func(tx pgx.Tx) (err error) {
		got, err = read(inner, tx)
		return err
	})
	cancel()
	if ctx.Err() != nil {
		return
	}
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		err = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		*into = Part[T]{Value: got, At: r.opt.Now()}
		return
	}
	if into.Err == nil {
		r.opt.Log.Debug("a part of the status page could not be read", zap.String("part", name), zap.Error(err))
	}
	into.Err = fmt.Errorf("read the %s: %w", name, pg.Explain(err))
}

// inTx gives f a read-only transaction with timeouts, and rolls it back.
func inTx(ctx context.Context, pool Beginner, f func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: fmt.Sprintf(
		"BEGIN READ ONLY; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d; %s", lockTimeout.Milliseconds(), deadline.Milliseconds(), pg.HoldFirst())})
	if err != nil {
		return err
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = tx.Rollback(ctx) // nothing was written; a broken connection is the pool's to drop
	}()
	return f(tx)
}

package pg

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// Beginner starts transactions: *pgxpool.Pool, *pgxpool.Conn, *pgx.Conn.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Patience says how long a piece of work waits for locks: LockTimeout for each lock (so nobody
// queues behind us for longer), Attempts in all, and between them a pause that doubles from
// Pause to MaxPause, with jitter.
type Patience struct {
	LockTimeout time.Duration
	Attempts    int
	Pause       time.Duration
	MaxPause    time.Duration
	// Waited, if set, is told of each attempt that ran into a lock.
	Waited func(attempt int, err error)
}

// Gentle is the default patience: a tenth of a second for a lock, about five minutes in all.
var Gentle = Patience{LockTimeout: 100 * time.Millisecond, Attempts: 60, Pause: 100 * time.Millisecond, MaxPause: 10 * time.Second}

// BusyError says that a lock could not be had within all attempts. Nothing was changed.
type BusyError struct {
	Attempts int
	Err      error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("gave up after %d attempts, others hold the lock; nothing was changed: %v", e.Attempts, e.Err)
}
func (e *BusyError) Unwrap() error { return e.Err }

// InTx runs f in a transaction with the patience's lock_timeout and commits it. When f or the
// commit meets a lock timeout, a deadlock or a serialization failure, the transaction is rolled
// back and f runs again, so f must keep no state between calls.
func (p Patience) InTx(ctx context.Context, db Beginner, f func(tx pgx.Tx) error) error {
	return p.Do(ctx, func() error {
		return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", p.LockTimeout.Milliseconds())); err != nil {
				return err
			}
			return f(tx)
		})
	})
}

// Do repeats f while it fails with a retryable error. f sets lock_timeout by itself.
func (p Patience) Do(ctx context.Context, f func() error) error {
	pause := p.Pause
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !Retryable(err) {
			return err
		}
		if p.Waited != nil {
			p.Waited(attempt, err)
		}
		if attempt >= p.Attempts {
			return &BusyError{Attempts: attempt, Err: err}
		}
		jittered := time.Duration(float64(pause) * (0.5 + rand.Float64()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(jittered):
		}
		pause = min(2*pause, p.MaxPause)
	}
}

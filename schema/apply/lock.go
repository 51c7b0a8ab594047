package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// lockName is the advisory lock of which one session a database holds while it applies a plan.
const lockName = "apply"

// lock takes the runners' lock for as long as the session lives, waiting up to RunnerWait.
func (r *runner) lock(ctx context.Context) error {
	const pause = 250 * time.Millisecond
	start, told := time.Now(), false
	for {
		got, err := pg.TryLock(ctx, r.conn, lockName)
		if err != nil {
			return fmt.Errorf("take the runners' lock: %w", err)
		}
		if got {
			return nil
		}
		holder, err := r.holder(ctx)
		if err != nil {
			return fmt.Errorf("look who applies a plan: %w", err)
		}
		if waited := time.Since(start); waited >= r.RunnerWait {
			return &RunnerError{Holder: holder, Waited: waited}
		}
		if !told {
			r.Progress(Event{Kind: Waiting, Message: "another pgtender is applying a plan (" + holder + ")"})
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// unlock gives the lock back before the session ends, as the server's process ends a moment later and the next runner should not meet it.
func (r *runner) unlock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if !r.conn.IsClosed() {
		_ = pg.Unlock(ctx, r.conn, lockName) // else the session's end gives it back
	}
}

// holder says who holds the runners' lock.
func (r *runner) holder(ctx context.Context) (string, error) {
	var holder string
	err := r.conn.QueryRow(ctx, `
		SELECT format('process %s, role %s%s%s', l.pid, coalesce(a.usename, '?'), coalesce(', from ' || host(a.client_addr), ''),
			coalesce(', since ' || to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), ''))
		FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295
		LIMIT 1`, pg.LockKey(lockName)).Scan(&holder)
	if errors.Is(err, pgx.ErrNoRows) {
		return "which has just ended", nil
	}
	return holder, err
}

package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// waiter is a session of this database that waits for a lock.
type waiter struct {
	pid    int
	mode   string
	object string
	rel    uint32 // 0: the lock is not on a relation
	age    time.Duration
}

func (w waiter) String() string { return fmt.Sprintf("pid %d wants %s on %s", w.pid, w.mode, w.object) }

// maxWaiters bounds the reading of a queue.
const maxWaiters = 1000

// readWaiters lists who waits for a lock, the longest first. Every role may read it.
func readWaiters(ctx context.Context, tx pgx.Tx) ([]waiter, error) {
	rows, err := tx.Query(ctx, `
		SELECT l.pid, l.mode, coalesce(n.nspname || '.' || c.relname, l.locktype), coalesce(l.relation, 0),
		       extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS age
		  FROM pg_locks l
		  JOIN pg_stat_activity a ON a.pid = l.pid
		  LEFT JOIN pg_class c ON c.oid = l.relation AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
		 WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()
		 ORDER BY age DESC, l.pid LIMIT $1`, maxWaiters)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w waiter, err error) {
		var age float64
		err = row.Scan(&w.pid, &w.mode, &w.object, &w.rel, &age)
		w.age = max(seconds(age), 0)
		return w, err
	})
}

const nobody = "nobody any more"

// blockers are the sessions that a waiter waits for. It is asked for one waiter only, as it stops the lock manager for a moment.
func blockers(ctx context.Context, tx pgx.Tx, pid int) (first int, said string, err error) {
	var pids []int
	if err := tx.QueryRow(ctx, "SELECT pg_blocking_pids($1)", pid).Scan(&pids); err != nil {
		return 0, "", err
	}
	if len(pids) == 0 {
		return 0, nobody, nil
	}
	who := make([]string, len(pids))
	for i, p := range pids {
		if who[i] = fmt.Sprintf("pid %d", p); p == 0 { // as pg_blocking_pids has it
			who[i] = "a prepared transaction"
		}
	}
	return pids[0], strings.Join(who, ", "), nil
}

// locksBundle is the name under which the checks that share readWaiters run in one transaction.
const locksBundle = "locks"

func newWaiters() *shared[[]waiter] { return &shared[[]waiter]{read: readWaiters} }

package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What waits for a lock makes others wait behind it.
const (
	lockWaitWarning  = 30 * time.Second
	lockWaitCritical = 60 * time.Second
)

// The blockers are asked for the longest waiter only: pg_blocking_pids stops the lock manager for a moment.
const lockWaitsSQL = `
WITH waiting AS MATERIALIZED (
  SELECT l.pid, l.mode, l.relation, l.locktype, extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS age
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()
)
SELECT (SELECT count(*) FROM waiting), coalesce(w.age, 0), coalesce(w.pid, 0),
       coalesce(w.mode, ''), coalesce(n.nspname || '.' || c.relname, w.locktype, ''), coalesce(pg_blocking_pids(w.pid), '{}')
  FROM (VALUES (1)) AS one (row)
  LEFT JOIN (SELECT * FROM waiting ORDER BY age DESC, pid LIMIT 1) AS w ON true
  LEFT JOIN pg_class c ON c.oid = w.relation
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace`

// lockWaits tells how long the longest wait for a lock in this database has lasted. Source: pg_locks.waitstart, which every role may
// read. Unit: seconds. Warning and critical above the limits, 30 and 60. Remedy: end the session that blocks.
func lockWaits(warning, critical time.Duration) Check {
	return Check{Name: "lock_waits", Group: "sessions", Unit: "seconds", Every: 10 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var count, pid int
			var age float64
			var mode, object string
			var blockers []int
			if err := tx.QueryRow(ctx, lockWaitsSQL).Scan(&count, &age, &pid, &mode, &object, &blockers); err != nil {
				return nil, err
			}
			f := Finding{Value: age, Message: "nobody waits for a lock", Status: above(age, warning.Seconds(), critical.Seconds())}
			if count > 0 {
				who := make([]string, len(blockers))
				for i, b := range blockers {
					who[i] = fmt.Sprintf("pid %d", b)
				}
				f.Message = fmt.Sprintf("%d waiting for locks; the longest for %s: pid %d wants %s on %s and is blocked by %s",
					count, span(seconds(age)), pid, mode, object, strings.Join(who, ", "))
				if f.Status != OK && len(blockers) > 0 {
					f.Remedy = cancel(blockers[0])
				}
			}
			return []Finding{f}, nil
		}}
}

package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockWaits tells how long the longest wait for a lock in this database has lasted: what waits makes others wait behind it. Source:
// pg_locks.waitstart, which every role may read. Unit: seconds. Warning from 30, critical from 60. Remedy: end the session that blocks.
func lockWaits(w *shared[[]waiter], l limits) Check {
	return Check{Name: "lock_waits", Group: "sessions", Unit: "seconds", Every: 10 * time.Second, Deadline: 5 * time.Second, Bundle: locksBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := w.get(ctx, tx)
			if err != nil || len(all) == 0 {
				return []Finding{{Message: "nobody waits for a lock"}}, err
			}
			worst := all[0]
			first, said, err := blockers(ctx, tx, worst.pid)
			if err != nil {
				return nil, err
			}
			f := Finding{Value: worst.age.Seconds(), Status: judge(worst.age.Seconds(), l),
				Message: fmt.Sprintf("%d waiting for locks; the longest for %s: %s and is blocked by %s", len(all), span(worst.age), worst, said)}
			switch {
			case f.Status == OK || said == nobody:
			case first == 0:
				f.Remedy = "SELECT gid, prepared, owner FROM pg_prepared_xacts ORDER BY prepared;  -- then COMMIT PREPARED 'gid' or ROLLBACK PREPARED 'gid'"
			default:
				f.Remedy = cancel(first)
			}
			return []Finding{f}, nil
		}}
}

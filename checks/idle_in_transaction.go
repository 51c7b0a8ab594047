package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// idleLimit: a client that went away within a transaction holds its locks until somebody ends it.
const idleLimit = 300 * time.Second

// idleInTransaction tells how long a session has been idle within a transaction. Source: pg_stat_activity.state_change, for
// pg_monitor. Unit: seconds. Warning above the limit, 300. Remedy: end the session; set idle_in_transaction_session_timeout.
func idleInTransaction(limit time.Duration) Check {
	return Check{Name: "idle_in_transaction", Group: "sessions", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			o, err := worstSession(ctx, tx, "clock_timestamp() - state_change", "state IN ('idle in transaction', 'idle in transaction (aborted)')", limit)
			return judgeSessions(o, limit, "transaction", "idle"), err
		}}
}

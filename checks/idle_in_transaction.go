package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// idleInTransaction tells how long a session has been idle within a transaction: a client that went away holds its locks until
// somebody ends it. Source: pg_stat_activity.state_change, for pg_monitor. Unit: seconds. Warning from 300. Remedy: end the session;
// set idle_in_transaction_session_timeout.
func idleInTransaction(l limits) Check {
	return Check{Name: "idle_in_transaction", Group: "sessions", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			o, err := worstSession(ctx, tx, "clock_timestamp() - state_change", "state IN ('idle in transaction', 'idle in transaction (aborted)')", l)
			return judgeSessions(o, l, "transaction", "idle"), err
		}}
}

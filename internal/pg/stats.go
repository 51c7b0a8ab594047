package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Counted is the last statement of a session of pgtender's that goes idle. The server then adds what the session has
// pending to the statistics before it reports the session idle, so whoever sees an idle session with this text in
// pg_stat_activity knows that everything it committed is counted. Less than 100 bytes, the least track_activity_query_size.
const Counted = "SELECT pg_catalog.pg_stat_force_next_flush() -- pgtender: counted"

// Count runs Counted. It uses the simple protocol, in which a statement that is shown has been executed, not only parsed.
func Count(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.PgConn().Exec(ctx, Counted).ReadAll(); err != nil {
		return fmt.Errorf("bring the session's statistics up to date: %w", err)
	}
	return nil
}

// FirstSinceCount is the key of an advisory lock of a transaction: whoever holds it has counted everything before that transaction, so that
// nothing it has committed is uncounted.
func FirstSinceCount() int64 {
	return LockKey("refresh: first transaction since the session was counted")
}

// HoldFirst is the statement that takes the lock FirstSinceCount, for the first transaction of a session that a pool of ours has given.
func HoldFirst() string {
	return fmt.Sprintf("SELECT pg_catalog.pg_advisory_xact_lock_shared(%d)", FirstSinceCount())
}

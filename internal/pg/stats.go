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

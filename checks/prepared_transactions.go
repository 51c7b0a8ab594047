package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// preparedTransactions tells how long the oldest prepared transaction of the server has waited for its second phase: it holds its locks
// and keeps VACUUM from removing dead rows, over a restart too. Source: pg_prepared_xacts, which every role may read. Unit: seconds.
// Warning from 600. Remedy: commit it or roll it back, in its database.
func preparedTransactions(l limits) Check {
	return Check{Name: "prepared_transactions", Group: "sessions", Unit: "seconds", Every: 30 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var n int64
			var gid, owner, database string
			var age float64
			err := tx.QueryRow(ctx, `
				SELECT count(*) OVER (), gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::float8
				  FROM pg_prepared_xacts ORDER BY prepared, gid LIMIT 1`).Scan(&n, &gid, &owner, &database, &age)
			if err == pgx.ErrNoRows { //nolint:errorlint // pgx returns it as it is
				return []Finding{{Message: "no prepared transaction"}}, nil
			}
			f := Finding{Value: age, Status: judge(age, l),
				Message: fmt.Sprintf("%s; the oldest, %q of %s in database %s, for %s", many(n, "prepared transaction"), gid, owner, database, span(seconds(age)))}
			if f.Status != OK {
				f.Remedy = fmt.Sprintf("ROLLBACK PREPARED %s;  -- or COMMIT PREPARED, in database %s, once its coordinator is asked", pg.Literal(gid), pg.Ident(database))
			}
			return []Finding{f}, err
		}}
}

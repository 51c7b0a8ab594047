package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// xidAge tells how many transactions ago the oldest row that is not frozen was written, in the worst database of the server: at
// two billion the server takes no more writes. Source: age(pg_database.datfrozenxid), which every role may read. Unit: transactions.
// Warning from 300 million, where autovacuum should long have begun, critical from 1 billion. Remedy: VACUUM (FREEZE).
func xidAge(h *shared[horizons], l limits) Check {
	return Check{Name: "xid_age", Group: "vacuum", Unit: "transactions", Every: time.Minute, Deadline: 5 * time.Second, Bundle: wraparoundBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := h.get(ctx, tx)
			if err != nil {
				return nil, err
			}
			return judgeHorizon(ctx, tx, all.xid, l, "age(c.relfrozenxid)", "transactions")
		}}
}

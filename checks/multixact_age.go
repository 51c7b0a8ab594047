package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// multixactAge is xidAge for multixacts, which rows locked by several transactions at once use. Source: mxid_age(pg_database.datminmxid),
// which every role may read. Unit: multixacts. Warning from 300 million, critical from 1 billion. Remedy: VACUUM (FREEZE).
func multixactAge(h *shared[horizons], l limits) Check {
	return Check{Name: "multixact_age", Group: "vacuum", Unit: "transactions", Every: time.Minute, Deadline: 5 * time.Second, Bundle: wraparoundBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := h.get(ctx, tx)
			if err != nil {
				return nil, err
			}
			return judgeHorizon(ctx, tx, all.multixact, l, "mxid_age(c.relminmxid)", "multixacts")
		}}
}

package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// connections tells how many of the connections that ordinary roles may have are taken, over all databases. Source: pg_stat_activity,
// for pg_monitor, and max_connections without those reserved. Unit: share of 1. Warning from 0.8, critical from 0.95. Remedy: a pooler,
// or fewer clients; max_connections needs a restart.
func connections(l limits) Check {
	return Check{Name: "connections", Group: "sessions", Unit: "ratio", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sees, user, err := sight(ctx, tx)
			if err != nil || !sees {
				return []Finding{blind(user)}, err
			}
			var taken, most, theirs int64
			var role, database string
			err = tx.QueryRow(ctx, `
				WITH clients AS MATERIALIZED (SELECT coalesce(usename, '') AS role, coalesce(datname, '') AS database FROM pg_stat_activity WHERE backend_type = 'client backend')
				SELECT (SELECT count(*) FROM clients),
				       (SELECT greatest(sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END), 1) FROM pg_settings
				         WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')),
				       count(*), role, database
				  FROM clients GROUP BY role, database ORDER BY count(*) DESC, role, database LIMIT 1`).Scan(&taken, &most, &theirs, &role, &database)
			if err != nil {
				return nil, err
			}
			share := float64(taken) / float64(most)
			f := Finding{Value: share, Status: judge(share, l), Message: fmt.Sprintf("%d of %d connections are taken", taken, most)}
			if f.Status != OK {
				f.Message += fmt.Sprintf("; the most, %d, by role %s in database %s", theirs, role, database)
				f.Remedy = "SELECT usename, application_name, client_addr, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;  -- who has them"
			}
			return []Finding{f}, nil
		}}
}

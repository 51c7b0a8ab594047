package checks

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// What each source holds back the most, and who. Sessions of other databases hold nothing back here.
const xminHorizonSQL = `
SELECT source, coalesce(age, 0)::float8, coalesce(who, ''), coalesce(how, '')
  FROM (VALUES (1, 'activity'), (2, 'slot'), (3, 'prepared'), (4, 'standby')) AS s (i, source)
  LEFT JOIN LATERAL (
    (SELECT greatest(age(backend_xmin), age(backend_xid)) AS age, pid::text AS who, coalesce(usename, backend_type, '') AS how
       FROM pg_stat_activity
      WHERE s.i = 1 AND datname = current_database() AND backend_type IS DISTINCT FROM 'walsender' AND pid <> pg_backend_pid())
    UNION ALL
    (SELECT greatest(age(xmin), age(catalog_xmin)), slot_name, slot_type FROM pg_replication_slots WHERE s.i = 2)
    UNION ALL
    (SELECT age(transaction), gid, owner FROM pg_prepared_xacts WHERE s.i = 3 AND database = current_database())
    UNION ALL
    (SELECT age(backend_xmin), pid::text, coalesce(application_name, '') FROM pg_stat_replication WHERE s.i = 4)
    ORDER BY age DESC NULLS LAST, who LIMIT 1
  ) AS worst ON true
 ORDER BY i`

// xminHorizon tells for how many transactions each source has kept dead rows from being removed. Source: backend_xmin and backend_xid of
// pg_stat_activity, xmin of pg_replication_slots, pg_prepared_xacts, and pg_stat_replication of a standby with hot_standby_feedback; for
// pg_monitor. Unit: transactions. Warning from 50 million. Remedy: end the session, drop the slot, end the prepared transaction, or
// look at the standby.
func xminHorizon(l limits) Check {
	return Check{Name: "xmin_horizon", Group: "vacuum", Unit: "transactions", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sees, user, err := sight(ctx, tx)
			if err != nil || !sees {
				return []Finding{blind(user)}, err
			}
			rows, err := tx.Query(ctx, xminHorizonSQL)
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Finding, error) {
				var who, how string
				var f Finding
				if err := row.Scan(&f.Object, &f.Value, &who, &how); err != nil {
					return f, err
				}
				f.Status, f.Message = judge(f.Value, l), "holds nothing back"
				if f.Value > 0 {
					f.Message = "holds back the last " + thousands(f.Value) + " transactions"
				}
				if f.Status != OK {
					f.Message, f.Remedy = holder(f, who, how)
				}
				return f, nil
			})
		}}
}

func holder(f Finding, who, how string) (message, remedy string) {
	switch f.Object {
	case "activity":
		pid, _ := strconv.Atoi(who) // a pid as text
		message, remedy = fmt.Sprintf("the transaction of pid %s (%s)", who, how), cancel(pid)
	case "slot":
		message = fmt.Sprintf("%s replication slot %s", how, who)
		remedy = "SELECT pg_drop_replication_slot(" + pg.Literal(who) + ");  -- if its reader is gone for good"
	case "prepared":
		message = fmt.Sprintf("prepared transaction %q of %s", who, how)
		remedy = "ROLLBACK PREPARED " + pg.Literal(who) + ";  -- or COMMIT PREPARED, once its coordinator is asked"
	default:
		message = fmt.Sprintf("a query on standby %s (walsender %s), by hot_standby_feedback,", how, who)
		remedy = "end the oldest transaction on the standby, found there by: SELECT pid, usename, xact_start FROM pg_stat_activity ORDER BY xact_start;"
	}
	return fmt.Sprintf("%s keeps dead rows of the last %s transactions from being removed", message, thousands(f.Value)), remedy
}

package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ioActivity tells what asynchronous I/O is at: the method, how many I/O workers are busy, and how many operations are in flight at this
// moment. Source: pg_aios and pg_stat_activity, for pg_monitor. Unit: operations. It is never anything but ok, unless the file gives it
// thresholds.
func ioActivity(l limits) Check {
	return Check{Name: "io_activity", Group: "server", Unit: "operations", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sees, user, err := sight(ctx, tx)
			if err != nil || !sees {
				return []Finding{blind(user)}, err
			}
			var method string
			var inFlight, workers, busy int64
			err = tx.QueryRow(ctx, `
				SELECT current_setting('io_method'), (SELECT count(*) FROM pg_aios),
				       count(*), count(*) FILTER (WHERE wait_event IS DISTINCT FROM 'IoWorkerMain')
				  FROM pg_stat_activity WHERE backend_type = 'io worker'`).Scan(&method, &inFlight, &workers, &busy)
			f := Finding{Value: float64(inFlight), Status: judge(float64(inFlight), l), Message: fmt.Sprintf("io_method is %s; %s in flight", method, many(inFlight, "operation"))}
			if method == "worker" {
				f.Message += fmt.Sprintf("; %d of %d I/O workers busy", busy, workers)
			}
			if f.Status != OK {
				f.Remedy = "pgtender io status"
			}
			return []Finding{f}, err
		}}
}

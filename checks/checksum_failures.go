package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// checksumFailures counts the pages that failed their checksum, in any database, since the statistics were last reset: the disk, or what
// lies between, lost data. Source: pg_stat_database.checksum_failures, which every role may read. Unit: failures. Critical from 1.
// Remedy: find the damage before more of it is backed up.
func checksumFailures(l limits) Check {
	return Check{Name: "checksum_failures", Group: "server", Unit: "failures", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var on bool
			var n int64
			var where string
			var ago float64
			err := tx.QueryRow(ctx, `
				SELECT current_setting('data_checksums') <> 'off', coalesce(sum(checksum_failures), 0)::int8,
				       coalesce(string_agg(coalesce(datname, 'the shared tables'), ', ' ORDER BY datname) FILTER (WHERE checksum_failures > 0), ''),
				       coalesce(extract(epoch FROM clock_timestamp() - max(checksum_last_failure)), 0)::float8
				  FROM pg_stat_database`).Scan(&on, &n, &where, &ago)
			f := Finding{Value: float64(n), Status: judge(float64(n), l), Message: "no page failed its checksum"}
			switch {
			case !on:
				f.Message = "data checksums are off: damage on the disk is not noticed"
			case n > 0:
				f.Message = fmt.Sprintf("%s of a checksum in %s, the last %s ago: data on the disk are damaged", many(n, "failure"), where, span(seconds(ago)))
				f.Remedy = "the server's log names the file; keep your last good backup, look at the disk, restore what is damaged, and then, in that database: SELECT pg_stat_reset();"
			}
			return []Finding{f}, err
		}}
}

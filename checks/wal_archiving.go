package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// walArchiving tells for how long the oldest finished WAL file has waited to be archived: what was written since is in no backup. Source:
// pg_ls_archive_statusdir and pg_stat_archiver, for pg_monitor. Unit: seconds. Critical from 900. Remedy: the server's log says why the
// command fails.
func walArchiving(a *shared[archiver], l limits) Check {
	return Check{Name: "wal_archiving", Group: "replication", Unit: "seconds", Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: archiverBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			now, err := a.get(ctx, tx)
			if none, ok := now.nothing(); ok || err != nil {
				return none, err
			}
			f := Finding{Value: now.oldest.Seconds(), Message: now.state()}
			if now.waiting > 0 {
				f.Status = judge(f.Value, l)
			}
			if f.Status != OK {
				f.Remedy = archiverRemedy
			}
			return []Finding{f}, nil
		}}
}

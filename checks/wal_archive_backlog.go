package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// walArchiveBacklog counts the finished WAL files that wait to be archived: they fill the server's disk. Source: pg_ls_archive_statusdir,
// for pg_monitor. Unit: files. Warning from 50. Remedy: the server's log says why the command fails, or is slow.
func walArchiveBacklog(a *shared[archiver], l limits) Check {
	return Check{Name: "wal_archive_backlog", Group: "replication", Unit: "files", Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: archiverBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			now, err := a.get(ctx, tx)
			if none, ok := now.nothing(); ok || err != nil {
				return none, err
			}
			f := Finding{Value: float64(now.waiting), Status: judge(float64(now.waiting), l), Message: now.state()}
			if f.Status != OK {
				f.Remedy = archiverRemedy
			}
			return []Finding{f}, nil
		}}
}

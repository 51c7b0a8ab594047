package checks

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// leader tells for how long this process has seen no pgtender daemon lead this database: then nobody makes partitions, refreshes or
// archives. A standby has none, as its primary's daemon works. Source: the leader's advisory lock in pg_locks, which every role may read.
// Unit: seconds. Warning from 120, which a hand-over does not reach; so `pgtender check`, which looks once, never warns. Remedy: run one.
func leader(l limits) Check {
	var mu sync.Mutex
	var missed time.Time // since when it was seen that nobody leads; zero: somebody does
	return Check{Name: "leader", Group: "jobs", Unit: "seconds", Every: 10 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var now time.Time
			var standby, led bool
			err := tx.QueryRow(ctx, `
				SELECT clock_timestamp(), pg_is_in_recovery(), EXISTS (
				  SELECT FROM pg_locks l
				   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
				     AND (l.classid::bigint << 32 | l.objid::bigint) = $1)`, pg.LockKey("leader")).Scan(&now, &standby, &led)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			if standby || led {
				missed = time.Time{}
				return []Finding{{Message: map[bool]string{true: "this is a standby: its primary's daemon leads", false: "a daemon leads"}[standby]}}, nil
			}
			if missed.IsZero() {
				missed = now
			}
			f := Finding{Value: now.Sub(missed).Seconds(), Message: "no daemon leads this database at this moment"}
			if f.Status = judge(f.Value, l); f.Status != OK {
				f.Message = "no daemon has led this database for " + span(now.Sub(missed)) + ": nobody makes partitions, refreshes or archives"
				f.Remedy = "pgtender run  -- or see in the daemon's log why it does not lead"
			}
			return []Finding{f}, nil
		}}
}

package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// slot is one replication slot that outlives its session.
type slot struct {
	name, kind   string
	active       bool
	status, lost string  // wal_status, and why it was invalidated
	retained     float64 // bytes of WAL
	idle         time.Duration
}

// slotsBundle is the name under which the checks that share readSlots run in one transaction.
const slotsBundle = "slots"

func newSlots() *shared[[]slot] { return &shared[[]slot]{read: readSlots} }

// readSlots lists the replication slots, which every role may read, those that keep the most first. Slots that a standby copies from its
// primary have no reader there.
func readSlots(ctx context.Context, tx pgx.Tx) ([]slot, error) {
	rows, err := tx.Query(ctx, `
		SELECT slot_name, slot_type, active, coalesce(wal_status, ''), coalesce(invalidation_reason, ''),
		       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
		                                     ELSE pg_current_wal_lsn() END, restart_lsn), 0)::float8 AS retained,
		       coalesce(extract(epoch FROM clock_timestamp() - inactive_since), 0)::float8
		  FROM pg_replication_slots WHERE NOT temporary AND NOT synced
		 ORDER BY retained DESC, slot_name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s slot, err error) {
		var idle float64
		err = row.Scan(&s.name, &s.kind, &s.active, &s.status, &s.lost, &s.retained, &idle)
		s.retained, s.idle = max(s.retained, 0), max(seconds(idle), 0)
		return s, err
	})
}

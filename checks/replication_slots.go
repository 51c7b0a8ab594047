package checks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// replicationSlots tells how much WAL each replication slot keeps on the server's disk for its reader. Source: pg_replication_slots,
// which every role may read. Unit: bytes. Warning from 10 GB; critical when wal_status is unreserved or lost: the reader cannot go on, or
// soon cannot. Remedy: let the reader catch up, or drop the slot.
func replicationSlots(s *shared[[]slot], l limits) Check {
	return Check{Name: "replication_slots", Group: "replication", Unit: "bytes", Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: slotsBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := s.get(ctx, tx)
			if err != nil || len(all) == 0 {
				return []Finding{{Message: "there is no replication slot"}}, err
			}
			out := make([]Finding, len(all))
			for i, s := range all {
				out[i] = judgeSlot(s, l)
			}
			slices.SortStableFunc(out, func(a, b Finding) int { return int(b.Status) - int(a.Status) })
			return capped(out), nil
		}}
}

func judgeSlot(s slot, l limits) Finding {
	f := Finding{Object: s.name, Value: s.retained, Status: judge(s.retained, l), Message: "keeps " + size(s.retained) + " of WAL"}
	reader := "a session reads from it"
	if !s.active {
		reader = "nobody reads from it"
	}
	switch s.status {
	case "lost":
		f.Status, f.Message = Critical, "the WAL that its reader needs is gone"
		if s.lost != "" {
			f.Message += " (" + s.lost + ")"
		}
		f.Remedy = fmt.Sprintf("SELECT pg_drop_replication_slot(%s);  -- and set its reader up anew", pg.Literal(s.name))
		return f
	case "unreserved":
		f.Status = Critical
		f.Message += ", more than max_slot_wal_keep_size: the next checkpoint removes it"
	}
	if f.Status != OK {
		f.Message += "; " + reader
		f.Remedy = fmt.Sprintf("let its reader catch up; if that is gone for good: SELECT pg_drop_replication_slot(%s);", pg.Literal(s.name))
	}
	return f
}

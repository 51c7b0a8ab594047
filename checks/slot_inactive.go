package checks

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// slotInactive tells for how long nobody has read from each replication slot: it keeps WAL and dead rows all the while. Source:
// pg_replication_slots.inactive_since, which every role may read. Unit: seconds. Warning from 3,600. Remedy: start the reader, or drop the
// slot.
func slotInactive(s *shared[[]slot], l limits) Check {
	return Check{Name: "slot_inactive", Group: "replication", Unit: "seconds", Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: slotsBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := s.get(ctx, tx)
			if err != nil {
				return nil, err
			}
			var out []Finding
			for _, s := range all {
				if s.active || s.status == "lost" { // replication_slots tells of the lost
					continue
				}
				f := Finding{Object: s.name, Value: s.idle.Seconds(), Status: judge(s.idle.Seconds(), l), Message: "nobody has read from it for " + span(s.idle)}
				if f.Status != OK {
					f.Remedy = "start its reader; if that is gone for good: SELECT pg_drop_replication_slot(" + pg.Literal(s.name) + ");"
				}
				out = append(out, f)
			}
			if len(out) == 0 {
				return []Finding{{Message: "no replication slot is without a reader"}}, nil
			}
			slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(b.Value, a.Value) })
			return capped(out), nil
		}}
}

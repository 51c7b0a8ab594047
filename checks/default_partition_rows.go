package checks

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// defaultPartitionRows counts the rows that no partition wanted: they keep a partition of their time from being attached. Source:
// the DEFAULT partition's live rows in the statistics, which follow within a second of the commit and need no lock. Unit: rows; 0
// without a DEFAULT. Warning above 0. Remedy: the partition job moves them.
func defaultPartitionRows(r *readings) Check {
	return partitionCheck("default_partition_rows", "rows", r, func(ctx context.Context, tx pgx.Tx, all []kept) ([]Finding, error) {
		rows, err := defaultRows(ctx, tx, all)
		if err != nil {
			return nil, err
		}
		return each(func(k kept) Finding {
			f := Finding{Message: "it has no DEFAULT partition"}
			if k.Default != nil {
				f.Value = float64(rows[k.Default.OID])
				f.Message = fmt.Sprintf("its DEFAULT partition %s is empty", k.Default.Table)
			}
			f.Samples = []Sample{{"pgtender_default_partition_rows", k.labels(), f.Value}}
			if f.Value > 0 {
				f.Status, f.Remedy = Warning, "pgtender job run partition --table "+k.policy.Table.String()
				f.Message = fmt.Sprintf("about %.0f rows lie in its DEFAULT partition %s, because no other wanted them", f.Value, k.Default.Table)
			}
			return f
		})(ctx, tx, all)
	})
}

// defaultRows are the live rows of the DEFAULT partitions, by oid.
func defaultRows(ctx context.Context, tx pgx.Tx, all []kept) (map[uint32]int64, error) {
	var oids []uint32
	for _, k := range all {
		if k.Default != nil {
			oids = append(oids, k.Default.OID)
		}
	}
	out := map[uint32]int64{}
	rows, err := tx.Query(ctx, "SELECT o, pg_stat_get_live_tuples(o) FROM unnest($1::oid[]) AS o", oids)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &n}, func() error {
		out[oid] = n
		return nil
	})
	return out, err
}

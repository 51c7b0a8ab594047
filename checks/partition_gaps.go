package checks

import (
	"fmt"
	"time"

	"github.com/pgtender/pgtender/internal/parts"
)

// partitionGaps counts the holes between the first and the last partition, where inserts fail or fall into the DEFAULT. Source:
// pg_class.relpartbound. Unit: holes. Critical above 0. Remedy: run the partition job, or attach what belongs there.
func partitionGaps(r *readings) Check {
	return partitionCheck("partition_gaps", "holes", r, each(func(k kept) Finding {
		holes := k.Holes()
		n := float64(len(holes))
		f := Finding{Value: n, Message: "its partitions join without a hole",
			Samples: []Sample{{"pgtender_partition_gaps", k.labels(), n}}}
		if n > 0 {
			f.Status = Critical
			first := holes[0]
			f.Message = fmt.Sprintf("%d holes between its partitions; the first from %s to %s", len(holes), boundText(first.Lower), boundText(first.Upper))
			f.Remedy = fmt.Sprintf("pgtender job run partition --table %s  -- for what lies ahead; what lies in the past, attach by hand: CREATE TABLE … PARTITION OF %s %s;",
				k.policy.Table, quoted(k.Table), k.Key.ForValues(first))
		}
		return f
	}))
}

func boundText(b parts.Bound) string {
	if b.Kind == parts.Min {
		return "the beginning"
	}
	if b.Kind == parts.Max {
		return "the end"
	}
	return b.Time.Format(time.RFC3339)
}

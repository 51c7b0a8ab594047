package checks

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/parts"
)

// partitionGaps counts the holes between the first and the last partition, where inserts fail or fall into the DEFAULT. Source:
// pg_class.relpartbound. Unit: holes. Critical when one lies between now and the end of what the policy keeps ahead; warning when
// all lie in the past, or beyond that. Remedy: run the partition job, or attach what belongs there.
func partitionGaps(r *readings) Check {
	return partitionCheck("partition_gaps", "holes", r, each(func(k kept) Finding {
		holes := k.Holes()
		n := float64(len(holes))
		f := Finding{Value: n, Message: "its partitions join without a hole",
			Samples: []Sample{{"pgtender_partition_gaps", k.labels(), n}}}
		if n > 0 {
			k.judgeHoles(&f, holes, r.env.Daemon.Location)
		}
		return f
	}))
}

func (k kept) judgeHoles(f *Finding, holes []parts.Range, loc *time.Location) {
	now := k.Key.At(k.Key.FromInstant(k.Now, loc))
	end := k.Window(k.policy.Interval, k.policy.Ahead, loc).Upper
	var near, past, far []parts.Range
	for _, h := range holes {
		switch {
		case h.Upper.Compare(now) <= 0:
			past = append(past, h)
		case h.Lower.Compare(end) >= 0:
			far = append(far, h)
		default:
			near = append(near, h)
		}
	}
	fate := "are refused"
	if k.Default != nil {
		fate = "go to the DEFAULT partition"
	}
	var said, cures []string
	say := func(holes []parts.Range, where string) {
		if len(holes) > 0 {
			said = append(said, fmt.Sprintf("%s %s, the first from %s to %s", many(int64(len(holes)), "hole"), where, boundText(holes[0].Lower), boundText(holes[0].Upper)))
		}
	}
	say(near, "in what should be kept ahead")
	say(past, "in the past")
	say(far, "beyond what is kept ahead")
	f.Status = Warning
	if len(near) > 0 {
		f.Status = Critical
		for _, c := range k.Blocking(k.policy.Interval, k.policy.Ahead, loc) {
			cures = append(cures, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE;", quoted(k.Table), quoted(c.Table)))
		}
		cures = append(cures, jobCommand("partition", k.policy.Table.String()))
	}
	f.Message = fmt.Sprintf("%s; rows with such times %s", strings.Join(said, "; "), fate)
	if len(past) > 0 {
		cures = append(cures, fmt.Sprintf("for what lies in the past, if rows of that time can still come: CREATE TABLE … PARTITION OF %s %s;",
			quoted(k.Table), k.Key.ForValues(past[0])))
	}
	if len(far) > 0 {
		cures = append(cures, "what lies beyond, the partition job makes when its time comes near")
	}
	f.Remedy = strings.Join(cures, "  -- ")
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

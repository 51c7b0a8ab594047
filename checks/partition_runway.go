package checks

import (
	"math"

	"github.com/pgtender/pgtender/internal/config"
)

// partitionRunway tells for how long inserts have a partition to go to: from the server's now to the end of the partitions that join
// without a hole. Source: pg_class.relpartbound. Unit: seconds; +Inf where there is no end. Warning at 7 days, critical
// at 1 day, and less (a half, a quarter of what the policy keeps ahead) for policies that keep less,
// unless the file gives thresholds. Remedy: run the partition job.
func partitionRunway(r *readings, l limits) Check {
	return partitionCheck("partition_runway", "seconds", r, each(func(k kept) Finding {
		runway := k.Runway(r.env.Daemon.Location)
		f := Finding{Value: runway, Message: "inserts have a partition for " + runwayText(runway)}
		f.Samples = []Sample{
			{"pgtender_partition_runway_seconds", k.labels(), runway},
			{"pgtender_partitions", k.labels(), float64(len(k.Children))},
		}
		f.Status = judge(runway, runwayLimits(k.policy, l))
		if runway <= 0 {
			f.Status, f.Message = Critical, "no partition holds this moment: inserts of new rows fail, or fall into the DEFAULT partition"
		}
		if f.Status != OK {
			f.Remedy = jobCommand("partition", k.policy.Table.String())
		}
		return f
	}))
}

func runwayLimits(p config.Partition, l limits) limits {
	if !l.Given {
		kept := float64(p.Ahead) * length(p.Interval).Seconds()
		l.Warning, l.Critical = min(l.Warning, kept/2), min(l.Critical, kept/4)
	}
	return l
}

func runwayText(runway float64) string {
	if math.IsInf(runway, 1) {
		return "eternity, as its last one has no upper bound"
	}
	return "another " + span(seconds(runway))
}

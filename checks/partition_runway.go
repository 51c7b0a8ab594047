package checks

import (
	"fmt"
	"math"
	"time"

	"github.com/pgtender/pgtender/internal/config"
)

// Thresholds of the runway, for policies that keep more than that ahead.
const (
	runwayWarning  = 7 * day
	runwayCritical = day
)

// partitionRunway tells for how long inserts have a partition to go to: from the server's now to the end of the partitions that join
// without a hole. Source: pg_class.relpartbound. Unit: seconds; +Inf where there is no end. Warning below 7 days, critical
// below 1 day, and less (a half, a quarter of what the policy keeps ahead) for policies that keep less. Remedy: run the partition job.
func partitionRunway(r *readings) Check {
	return partitionCheck("partition_runway", "seconds", r, each(func(k kept) Finding {
		runway := k.Runway(r.env.Daemon.Location)
		f := Finding{Value: runway, Message: "inserts have a partition for another " + runwayText(runway)}
		f.Samples = []Sample{
			{"pgtender_partition_runway_seconds", k.labels(), runway},
			{"pgtender_partitions", k.labels(), float64(len(k.Children))},
		}
		warning, critical := runwayLimits(k.policy)
		switch {
		case runway <= 0:
			f.Status, f.Message = Critical, "no partition holds this moment: inserts of new rows fail, or fall into the DEFAULT partition"
		case runway < critical.Seconds():
			f.Status = Critical
		case runway < warning.Seconds():
			f.Status = Warning
		}
		if f.Status != OK {
			f.Remedy = fmt.Sprintf("pgtender job run partition --table %s", k.policy.Table)
		}
		return f
	}))
}

func runwayLimits(p config.Partition) (warning, critical time.Duration) {
	kept := time.Duration(p.Ahead) * length(p.Interval)
	return min(runwayWarning, kept/2), min(runwayCritical, kept/4)
}

func runwayText(runway float64) string {
	if math.IsInf(runway, 1) {
		return "eternity"
	}
	return span(seconds(runway))
}

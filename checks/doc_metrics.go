package checks

import (
	"fmt"
	"strings"
)

// MetricsDoc is docs/metrics.md.
func MetricsDoc() string {
	var b strings.Builder
	b.WriteString(`# Metrics

What ` + "`/metrics`" + ` has. A scrape is answered from memory and never asks the database; ` + "`pgtender_check_age_seconds`" + ` says how old
each answer is. A check that fails drops its series until it has an answer again, and ` + "`pgtender_check_up`" + ` says so. The number of
series is bounded by the policies in atlas.hcl, not by the number of tables. Counters of *this process* begin at 0 when it starts. The
usual ` + "`go_*`, `process_*` and `promhttp_*`" + ` metrics are there too.

This file is made from the program (` + "`go test ./checks -run TestMetricsDoc -update`" + `); do not edit it.

| Metric | Kind | Labels | What it is | From |
|---|---|---|---|---|
`)
	for _, f := range Families() {
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Kind, labels, f.Help, f.Source)
	}
	return b.String()
}

package checks

import (
	"slices"
	"strings"
)

// Kind is the type of a metric.
type Kind string

// The kinds.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Where values come from that no check brings.
const (
	fromProcess = "this process"
	fromLedger  = "run ledger"
)

// Family is one metric of the exporter.
type Family struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string // with the unit
	Source string // where its values come from, for the documentation
}

// The families that every check has a part in.
const (
	statusFamily = "pgtender_check_status"
	valueFamily  = "pgtender_check_value"
	ageFamily    = "pgtender_check_age_seconds"
	offFamily    = "pgtender_check_off"
	upFamily     = "pgtender_check_up"
)

// ofCheck reports whether the values come with the answers of checks.
func (f Family) ofCheck() bool { return f.Source != fromProcess && f.Source != fromLedger }

// Families lists every metric of pgtender, sorted by name. Dashboards and alerts rely on the names, kinds and labels.
func Families() []Family {
	table, view, job := []string{"schema", "table"}, []string{"schema", "view"}, []string{"job", "target"}
	list := []Family{
		{"pgtender_build_info", Gauge, []string{"version", "goversion", "os", "arch"}, "Always 1; the labels tell which pgtender this is.", fromProcess},
		{"pgtender_leader", Gauge, nil, "1 when this process is the leader among the daemons of its database, else 0.", fromProcess},

		{"pgtender_schema_compared_timestamp_seconds", Gauge, nil, "When the live schema was last compared with the declared one.", "check schema_drift"},
		{"pgtender_schema_drift_objects", Gauge, nil, "Number of objects that differ between the live schema and the declared one, at the last comparison.", "check schema_drift"},
		{"pgtender_schema_last_apply_timestamp_seconds", Gauge, nil, "When a plan was last applied, in seconds since 1970.", "check schema_apply"},

		{"pgtender_job_runs_total", Counter, append(slices.Clone(job), "outcome"), "Number of runs of the job that ended in this process, by outcome: success, failure, skipped, noop.", fromProcess},
		{"pgtender_job_duration_seconds", Histogram, []string{"job"}, "How long runs of the job took, in seconds.", fromProcess},
		{"pgtender_job_last_success_timestamp_seconds", Gauge, job, "When the job last ended well, in seconds since 1970.", fromLedger},
		{"pgtender_job_next_run_timestamp_seconds", Gauge, job, "When the job is due next, in seconds since 1970.", fromProcess},

		{"pgtender_partition_runway_seconds", Gauge, table, "For how many seconds from now inserts have a partition to go to, without a hole; +Inf when there is no end.", "check partition_runway"},
		{"pgtender_partitions", Gauge, table, "Number of partitions, without the DEFAULT.", "check partition_runway"},
		{"pgtender_partition_gaps", Gauge, table, "Number of holes between the first and the last partition.", "check partition_gaps"},
		{"pgtender_default_partition_rows", Gauge, table, "Number of rows in the DEFAULT partition, by the statistics.", "check default_partition_rows"},
		{"pgtender_archive_lag_seconds", Gauge, table, "For how many seconds the oldest live data has been due for the archive; 0 when none is.", "check archive_lag"},
		{"pgtender_archived_rows_total", Counter, table, "Number of rows moved into the archive, of all time.", "check archive_rows"},

		{"pgtender_matview_age_seconds", Gauge, view, "Seconds since the materialised view was last refreshed, or proved fresh.", "check matview_age"},
		{"pgtender_matview_refreshes_total", Counter, append(slices.Clone(view), "outcome"), "Number of refreshes of the materialised view that ended in this process, by outcome: success, failure, skipped, noop.", fromProcess},

		{"pgtender_io_setting", Gauge, []string{"name"}, "Value in force of an asynchronous I/O setting that is a number or a switch (0, 1), in the unit of pg_settings.", "check io_settings"},
		{"pgtender_io_method_info", Gauge, []string{"method"}, "Always 1; the label is the asynchronous I/O method in force: sync, worker, io_uring.", "check io_settings"},
		{"pgtender_io_pending_restart", Gauge, []string{"name"}, "1 when another value of the asynchronous I/O setting waits for a restart of the server, else 0.", "check io_settings"},

		{statusFamily, Gauge, []string{"check", "object"}, "State of the object under the check: 0 ok, 1 warning, 2 critical. Absent while it is not known.", "every check"},
		{valueFamily, Gauge, []string{"check", "object"}, "What the check measured, in the unit of the check. Absent while it is not known.", "every check"},
		{ageFamily, Gauge, []string{"check"}, "Seconds since the check last had an answer. Absent until it has its first.", "every check"},
		{offFamily, Gauge, []string{"check"}, "Always 1; the label is a check that atlas.hcl switches off, which has no other series.", "atlas.hcl"},
		{upFamily, Gauge, []string{"check"}, "1 when the last try of the check answered for every object, 0 when it failed or left something unknown.", "every check"},
	}
	slices.SortFunc(list, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return list
}

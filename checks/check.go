// Package checks looks at the health of the database and of pgtender's own work, one file a check,
// in the background, and keeps the last answers in memory for whoever asks: a scrape, the status page, `pgtender check`.
package checks

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Status is the state of one object under one check.
type Status int

// The states; the numbers are the metric's values and the exit codes of `pgtender check`.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

func (s Status) String() string { return [...]string{"ok", "warning", "critical", "unknown"}[s] }

// Finding is one object's state.
type Finding struct {
	Object  string  `json:"object"` // "public.training_records", or "" for the database
	Status  Status  `json:"status"`
	Value   float64 `json:"value"`
	Message string  `json:"message"`          // what is the case
	Remedy  string  `json:"remedy,omitempty"` // SQL or a command
	// Samples are values of metrics of their own that follow from the same reading.
	Samples []Sample `json:"-"`
}

// Sample is one value of a metric that Families lists, with the values of its labels in their order.
type Sample struct {
	Metric string
	Labels []string
	Value  float64
}

// Check is one question to the database.
type Check struct {
	Name     string // label-safe: partition_runway; an own check's is what the file calls it
	Group    string // partitions, archive, views, schema, jobs, sessions, vacuum, replication, server, own
	Unit     string // of Value: seconds, rows, ratio …
	Every    time.Duration
	Deadline time.Duration
	// Bundle, if not empty, names checks that run in one transaction, one after the other, at the interval and with the deadline of the
	// first: because they share a reading. When one fails, so do those after it.
	Bundle string
	// Off, if not empty, is where the file switches the check off: it says that and nothing else.
	Off string
	// Memory marks a check that asks no database: its tx is nil, and it answers while the server is away.
	Memory bool
	// Run reads within a read-only transaction that has a lock_timeout and a statement_timeout. Its findings come sorted. Without
	// any, all is well.
	Run func(ctx context.Context, tx pgx.Tx) ([]Finding, error)
}

// Result is the last answer of one check.
type Result struct {
	Check, Group, Unit string
	Off                string // where the file switches it off
	// Findings are what was found, at least one. Of a check that failed, it is one Unknown that says why.
	Findings []Finding
	// At is when the last answer that did not fail was read; zero: never.
	At   time.Time
	Took time.Duration
	// Err is why the last try failed; nil: it did not.
	Err error
}

// Status is the worst of the findings.
func (r *Result) Status() Status {
	worst := OK
	for _, f := range r.Findings {
		worst = Worse(worst, f.Status)
	}
	return worst
}

// leaves reports whether some finding has the state.
func (r *Result) leaves(s Status) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Status == s })
}

// Worse returns the state that matters more: critical, then unknown, then warning, then ok. Something known to be critical
// outweighs what is not known.
func Worse(a, b Status) Status {
	rank := [...]int{OK: 0, Warning: 1, Unknown: 2, Critical: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Worst is the state of all results together; of none it is Unknown.
func Worst(results []Result) Status {
	if len(results) == 0 {
		return Unknown
	}
	worst := OK
	for i := range results {
		worst = Worse(worst, results[i].Status())
	}
	return worst
}

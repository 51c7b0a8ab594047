// Package jobs runs pieces of maintenance on schedules: cron, catch-up after downtime, one leader,
// one run at a time for an object, and a ledger row for each run. It knows no single job; those are its sub-packages.
package jobs

import (
	"context"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/jackc/pgx/v5"
)

// Outcome is how a run ended, as the ledger and the metrics name it.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success" // it changed something
	Noop    Outcome = "noop"    // it looked, and there was nothing to do
	Skipped Outcome = "skipped" // it was proved needless, or could not run now without harm
	Failure Outcome = "failure"
)

// Result is what a run reports.
type Result struct {
	Outcome Outcome
	Summary string         // one line for people: "created 3 partitions, up to 2027-02-01"
	Detail  map[string]any // for the ledger, as JSON
}

// Task is one scheduled unit: a job on one target.
type Task struct {
	Job      string // partition, archive, refresh, io, analyze, drift, or an own job's name
	Target   string // "public.training_records", or "" where the job has one target only
	Schedule cron.Schedule
	Spec     string        // the schedule as written
	Timeout  time.Duration // of one run; 0: none
	// Locks name the objects that no two runs may work on at once, in this daemon, another one, or a shell:
	// "public.training_records". Without any, the task still never runs twice at once.
	Locks []string
	// Order groups the runs that are due at the same moment: lower ones first (partition 10, archive 20, refresh 30 …).
	Order int
	// AtStart runs the task each time this daemon becomes the leader, whatever the ledger says: the schema is brought in
	// place before anything that stands on it.
	AtStart bool
	// Glance, where there is one, is asked first, for all tasks that share it: only those with something to do are run.
	Glance *Glance
	Run    func(ctx context.Context, run *Run) (Result, error)
}

// Commit writes a result into the ledger within the job's own transaction, so that the work and its record are
// one. The ledger supplies it.
type Commit func(ctx context.Context, tx pgx.Tx, r Result) error

// Run is one execution of a task, as the task sees it.
type Run struct {
	ID     int64 // of its ledger row
	DryRun bool  // say what would be done (through Say), and do nothing
	// Say reports a step to a person or the log: a statement of a dry run, progress.
	Say func(format string, args ...any)
	// Commit may be called once, in the transaction that does the work. Without it the runner records the result afterwards.
	// Figures in Detail that show only after the commit are added to the row when Run returns them.
	Commit Commit
}

// Package drift compares the live schema with the declared one and, where the daemon may, brings it back: the
// statements without a hazard are run, and what is left is named. What it found is in the ledger, where every daemon of the database
// and the status page read it.
package drift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/apply"
)

// JobName is the job's name in the ledger, the metrics and on the command line.
const JobName = "drift"

// spec is how often the schemas are compared, besides at each start.
const spec = "@hourly"

// Engine is what the job needs of the schema engine.
type Engine interface {
	Drift(ctx context.Context) (*schema.Drift, error)
	SafeApply(ctx context.Context, o schema.ApplyOptions) (apply.Report, error)
	Remember(ctx context.Context)
}

// Task is the drift job. It is first of what runs together, and runs whenever a daemon becomes the leader.
func Task(mode config.ApplyMode, e Engine) (jobs.Task, error) {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return jobs.Task{}, err
	}
	return jobs.Task{
		Job: JobName, Schedule: schedule, Spec: spec, Timeout: time.Hour, Locks: []string{"schema"}, Order: 0, AtStart: true,
		Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) { return work(ctx, run, mode, e) },
	}, nil
}

func work(ctx context.Context, run *jobs.Run, mode config.ApplyMode, e Engine) (jobs.Result, error) {
	found, err := e.Drift(ctx)
	if err != nil {
		return jobs.Result{}, err
	}
	result := jobs.Result{Outcome: jobs.Noop, Summary: "the live schema equals the declared one"}
	differ := found.Names()
	if len(found.Differences) == 0 && !run.DryRun {
		e.Remember(ctx)
	}
	if len(differ) == 0 {
		return record(result, nil), nil
	}
	for _, name := range differ {
		run.Say("differs: %s", name)
	}
	result.Summary = fmt.Sprintf("%s: %s", count(len(differ), "object differs", "objects differ"), brief(differ))
	if mode == config.ApplyOff || run.DryRun || len(found.Differences) == 0 {
		return record(result, differ), nil
	}
	report, err := e.SafeApply(ctx, schema.ApplyOptions{
		Progress: func(ev apply.Event) { tell(run, ev) },
	})
	if err != nil {
		return record(jobs.Result{}, differ), fmt.Errorf("apply what is safe: %w", err)
	}
	if report.Ran > 0 {
		result.Outcome = jobs.Success
	}
	if len(report.Left) == 0 && len(found.Foreign()) == 0 {
		result.Summary = fmt.Sprintf("applied %s", count(report.Ran, "statement", "statements"))
		return record(result, nil), nil
	}
	// What is left is what the database now differs by, which is not always what it differed by before.
	after, err := e.Drift(ctx)
	if err != nil {
		return record(jobs.Result{}, differ), fmt.Errorf("compare again: %w", err)
	}
	differ = after.Names()
	result.Summary = fmt.Sprintf("applied %s; left to a person, for their hazards: %s (see: pgtender plan)", count(report.Ran, "statement", "statements"), brief(differ))
	if len(report.Left) == 0 {
		result.Summary = fmt.Sprintf("applied %s; left, as pgtender does not manage them: %s (see: pgtender drift)", count(report.Ran, "statement", "statements"), brief(differ))
	}
	return record(result, differ), nil
}

func tell(run *jobs.Run, ev apply.Event) {
	switch ev.Kind {
	case apply.Ended:
		run.Say("%d/%d %s: %s", ev.Index+1, ev.Of, ev.Statement.Object, ev.Statement.Reason)
	case apply.Waiting, apply.Remade, apply.Resumed:
		run.Say("%s: %s", ev.Kind, ev.Message)
	}
}

// maxObjects bounds what one run puts into the ledger.
const maxObjects = 200

func record(r jobs.Result, differ []string) jobs.Result {
	listed := differ
	if len(listed) > maxObjects {
		listed = listed[:maxObjects]
	}
	if listed == nil {
		listed = []string{}
	}
	r.Detail = map[string]any{"differing": len(differ), "objects": listed}
	return r
}

func brief(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Last is what the last drift run found, whichever daemon it was in.
type Last struct {
	At        time.Time // zero: there was none
	Differing int
	Objects   []string // at most 200 of them
	Err       error    // why it failed
}

// Latest reads the last drift run from the ledger.
func Latest(ctx context.Context, q pg.Querier) (Last, error) {
	var last Last
	var failure *string
	var detail []byte
	err := q.QueryRow(ctx, `
		SELECT finished_at, error, detail FROM pgtender.run
		WHERE job = $1 AND target = '' AND outcome IN ('success', 'noop', 'failure')
		ORDER BY id DESC LIMIT 1`, JobName).Scan(&last.At, &failure, &detail)
	switch {
	case errors.Is(err, pgx.ErrNoRows), pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName):
		return Last{}, nil
	case err != nil:
		return Last{}, fmt.Errorf("read the last drift run: %w", err)
	}
	if failure != nil {
		last.Err = errors.New(*failure)
		return last, nil
	}
	var found struct {
		Differing int      `json:"differing"`
		Objects   []string `json:"objects"`
	}
	if err := json.Unmarshal(detail, &found); err != nil {
		return Last{}, fmt.Errorf("read the last drift run: %w", err)
	}
	last.Differing, last.Objects = found.Differing, found.Objects
	return last, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/asyncio"
	"github.com/pgtender/pgtender/schema/desired"
)

func (a *app) jobCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "job", GroupID: "keep", Short: "The jobs: list them, run one now", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.jobListCommand(), a.jobRunCommand())
	return cmd
}

func (a *app) jobListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "list", Short: "List the jobs with their schedules, last and next runs", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			w, err := a.workshop(cmd.Context(), zap.NewNop(), look)
			if err != nil {
				return err
			}
			defer w.close()
			status, err := w.runner.History(cmd.Context())
			if err != nil {
				return explainRights(cmd.Context(), w.pool, err)
			}
			if format == "json" {
				return printJSON(a.stdout, status)
			}
			t := newTable(a.stdout, "job", "target", "schedule", "next run", "last run", "outcome", "summary")
			for _, s := range status {
				row := table.Row{s.Job, s.Target, s.Spec, moment(s.Next, w.env.Daemon.Location), "-", "-", ""}
				if s.Last != nil {
					row[4], row[5], row[6] = moment(s.Last.Finished, w.env.Daemon.Location), s.Last.Outcome, oneLine(s.Last.Summary)
					if s.Last.Error != "" {
						row[6] = oneLine(s.Last.Error)
					}
				}
				t.AppendRow(row)
			}
			t.Render()
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func (a *app) jobRunCommand() *cobra.Command {
	var tableName string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "run NAME", Short: "Run a job now, on all its targets or on one",
		Long: `Run a job now, whatever its schedule says and whoever leads: partition, archive, refresh, io, analyze, drift, or an own
job's name. A target that another process works on is waited for, then skipped.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one job, for example: pgtender job run partition")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := a.logger()
			if err != nil {
				return err
			}
			purpose := one
			if dryRun {
				purpose = look
			}
			w, err := a.workshop(cmd.Context(), log, purpose)
			if err != nil {
				return err
			}
			defer w.close()
			filter, err := w.pick(args[0], tableName)
			if err != nil {
				return err
			}
			if !dryRun {
				if err := w.rehearse(cmd.Context(), filter); err != nil {
					return err
				}
			}
			return a.runOnce(cmd.Context(), w, jobs.Once{Filter: filter, DryRun: dryRun})
		},
	}
	cmd.Flags().StringVar(&tableName, "table", "", "only this table or view (`name` or schema.name)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// pick checks that the job and the target exist and returns the filter that selects them.
func (w *workshop) pick(job, tableName string) (func(jobs.Task) bool, error) {
	var names, known []string
	matches := func(t jobs.Task) bool {
		return t.Job == job && (tableName == "" || targets(t.Target, tableName))
	}
	found := 0
	for _, t := range w.tasks {
		names = append(names, t.Job)
		if t.Job == job {
			known = append(known, t.Target)
		}
		if matches(t) {
			found++
		}
	}
	slices.Sort(names)
	switch {
	case found > 0:
		return matches, nil
	case len(known) == 0 && slices.Contains(builtinJobs, job):
		return nil, fmt.Errorf("%s declares nothing for the job %q: add a block to the env, see docs/configuration.md", orNone(w.env.File), job)
	case len(known) == 0:
		return nil, fmt.Errorf("there is no job %q in %s; its jobs are: %s", job, orNone(w.env.File), strings.Join(slices.Compact(names), ", "))
	case len(known) == 1 && known[0] == "":
		return nil, fmt.Errorf("the job %q has one run for all its tables: leave --table out", job)
	default:
		return nil, fmt.Errorf("the job %q has no target %q; its targets are: %s", job, tableName, strings.Join(known, ", "))
	}
}

// targets reports whether text means a task's target: schema.name, or the name alone; quoted as in atlas.hcl or not.
func targets(target, text string) bool {
	if target == text || strings.HasSuffix(target, "."+text) {
		return true
	}
	asked, err := config.ParseTable(text, "")
	return err == nil && (target == asked.String() || asked.Schema == "" && strings.HasSuffix(target, asked.String()))
}

var builtinJobs = []string{"partition", "archive", "refresh", "io", "analyze", "drift"}

// runOnce runs the selected tasks and prints one line each. A failure of any is exit code 1.
func (a *app) runOnce(ctx context.Context, w *workshop, once jobs.Once) error {
	failed := false
	once.Say = func(_ jobs.Task, line string) { fmt.Fprintln(a.stdout, line) }
	once.Ended = func(r jobs.Report) {
		if r.Err != nil {
			failed = true
			fmt.Fprintf(a.stderr, "pgtender: %v\n", told(r))
			return
		}
		fmt.Fprintf(a.stdout, "%s: %s: %s (%s)\n", taskName(r.Task), r.Result.Outcome, r.Result.Summary, r.Duration.Round(time.Millisecond))
	}
	if _, err := w.runner.RunOnce(ctx, once); err != nil {
		return err
	}
	if failed {
		return exitCode(exitError)
	}
	return nil
}

func taskName(t jobs.Task) string { return strings.TrimSpace(t.Job + " " + t.Target) }

// told is the error of a run with the task's name before it, unless it begins with that itself.
func told(r jobs.Report) string {
	text := r.Err.Error()
	if strings.HasPrefix(text, r.Task.Job+" ") {
		return text
	}
	return taskName(r.Task) + ": " + text
}

// rehearse lets jobs say what keeps them from working at all, before anything is made in a database that pgtender has never worked
// on. As soon as one of them can work, or the ledger is there to tell of failures, they just run.
func (w *workshop) rehearse(ctx context.Context, filter func(jobs.Task) bool) error {
	var known bool
	if err := w.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'pgtender')").Scan(&known); err != nil {
		return fmt.Errorf("look whether pgtender has worked on this database: %w", err)
	}
	if known {
		return nil
	}
	quick := func(t jobs.Task) bool { return filter(t) && t.Job != asyncio.JobName }
	reports, err := w.runner.RunOnce(ctx, jobs.Once{Filter: quick, DryRun: true, Say: func(jobs.Task, string) {}, Ended: func(jobs.Report) {}})
	works := func(r jobs.Report) bool { return r.Err == nil || strings.HasPrefix(r.Result.Summary, "would ") } // the latter: in part
	if err != nil || slices.ContainsFunc(reports, works) {
		return err
	}
	var wrong []error
	for _, r := range reports {
		wrong = append(wrong, errors.New(told(r)))
	}
	return errors.Join(wrong...)
}

// purpose is what a workshop is opened for.
type purpose int

const (
	look purpose = iota // a standby will do
	one                 // a job or two
	all                 // every job: the declaration must be sound
)

// workshop is what a command that runs jobs works with.
type workshop struct {
	env    *config.Env
	pool   *pgxpool.Pool
	tasks  []jobs.Task
	runner *jobs.Runner
}

func (w *workshop) close() { w.pool.Close() }

func (a *app) workshop(ctx context.Context, log *zap.Logger, p purpose) (*workshop, error) {
	env, err := a.load()
	if err != nil {
		return nil, err
	}
	open := a.openPrimary
	if p == look {
		open = a.open
	}
	w := &workshop{env: env}
	if w.pool, err = open(ctx, env); err != nil {
		return nil, err
	}
	if err := a.equip(ctx, w, log, p); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// equip makes the tasks and their runner.
func (a *app) equip(ctx context.Context, w *workshop, log *zap.Logger, p purpose) (err error) {
	engine, memo := engineOf(w.env, log)
	if p == all && len(w.env.Sources) > 0 {
		var scratch *desired.ScratchError // the drift job will say so; partitions must not run out for that
		if err := engine.Load(ctx); err != nil && !errors.As(err, &scratch) {
			return err
		}
	}
	if w.tasks, err = a.tasks(ctx, w.env, w.pool, engine, memo); err != nil {
		return err
	}
	w.runner, err = jobs.NewRunner(jobs.Options{URL: w.env.URL, Pool: w.pool, Location: w.env.Daemon.Location, Log: log}, w.tasks)
	return err
}

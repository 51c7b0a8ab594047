package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/asyncio"
)

func (a *app) ioCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "io", GroupID: "keep", Short: "Asynchronous I/O settings", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	status := a.ioLookCommand("status", "Show every asynchronous I/O setting of this server, its effective value and its source", printIOStatus)
	status.Args = noArgs
	recommend := a.ioLookCommand("recommend [NAME=VALUE]", "Advise on the settings, or on a value in mind: reason, evidence, SQL, and whether the server would start", printIOAdvice)
	recommend.Args = cobra.MaximumNArgs(1)
	cmd.AddCommand(status, recommend, a.ioApplyCommand(), a.ioRevertCommand())
	return cmd
}

func (a *app) ioLookCommand(use, short string, show func(*app, *asyncio.Report)) *cobra.Command {
	var format string
	var samples int
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			if samples < 1 || samples > 3600 {
				return fmt.Errorf("--seconds %d: use 1 to 3600", samples)
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			report, err := asyncio.Look(cmd.Context(), asyncio.Options{Pool: pool, Samples: samples, Every: time.Second})
			if err != nil {
				return err
			}
			if len(args) > 0 {
				advice, err := asyncio.Wish(cmd.Context(), report, args[0])
				if err != nil {
					return err
				}
				report.Advice = []asyncio.Advice{advice}
			}
			if format == "json" {
				return printJSON(a.stdout, report)
			}
			show(a, report)
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().IntVar(&samples, "seconds", 3, "how long to watch the server")
	return cmd
}

func (a *app) ioApplyCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "apply [NAME=VALUE]", Short: "Try a setting against the present one under the present load, and keep it only when it proves better", Args: cobra.MaximumNArgs(1),
		Long: `Try one setting against the present one, under the load that the server has, and keep it only when it proves better: at
least a tenth more read per second in the median of eight pairs of windows, with no commits lost. It takes five to ten minutes. Without NAME=VALUE
it tries what ten seconds of watching ask for, if anything.

Only these are ever changed, by ALTER SYSTEM and a reload: ` + strings.Join(asyncio.Tunable(), ", ") + `.
Each change is journalled before it is made; pgtender io revert takes it back.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ioTask(cmd.Context(), dryRun, func(env *config.Env, o asyncio.Options) (jobs.Task, error) {
				return asyncio.ApplyTask(env.IO, strings.Join(args, ""), o)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be tried, and do nothing")
	return cmd
}

func (a *app) ioRevertCommand() *cobra.Command {
	var all, dryRun bool
	cmd := &cobra.Command{
		Use: "revert", Short: "Put back the last setting that pgtender changed, or all of them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ioTask(cmd.Context(), dryRun, func(_ *config.Env, o asyncio.Options) (jobs.Task, error) {
				return asyncio.RevertTask(all, o), nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that pgtender has changed, newest first")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be put back, and do nothing")
	return cmd
}

// ioTask runs one task of the io job, with its row in the ledger, whatever the file says of the job.
func (a *app) ioTask(ctx context.Context, dryRun bool, make func(*config.Env, asyncio.Options) (jobs.Task, error)) error {
	env, err := a.load()
	if err != nil {
		return err
	}
	w := &workshop{env: env}
	if w.pool, err = a.openPrimary(ctx, env); err != nil {
		return err
	}
	defer w.close()
	task, err := make(env, asyncio.Options{Pool: w.pool, URL: env.URL})
	if err != nil {
		return err
	}
	w.runner, err = jobs.NewRunner(jobs.Options{URL: env.URL, Pool: w.pool, Location: env.Daemon.Location}, []jobs.Task{task})
	if err != nil {
		return err
	}
	return a.runOnce(ctx, w, jobs.Once{DryRun: dryRun})
}

func printIOStatus(a *app, r *asyncio.Report) {
	t := newTable(a.stdout, "setting", "effective", "value", "default", "source", "takes effect", "note")
	for _, s := range r.Status.Settings {
		t.AppendRow(table.Row{s.Name, s.Effective, s.Value, s.Default, s.Source, takesEffect(s.Context), settingNote(s)})
	}
	t.Render()
	e := r.Evidence
	fmt.Fprintf(a.stdout, "\n%s\n", e)
	if e.TotalReads > 0 {
		fmt.Fprintf(a.stdout, "average read %.0f kB, over %d reads since the statistics began\n", e.MeanRead()/1024, e.TotalReads)
	}
	if len(r.Journal) > 0 {
		fmt.Fprintln(a.stdout)
		t := newTable(a.stdout, "changed by pgtender", "to", "from", "when", "state", "why")
		for _, c := range r.Journal {
			t.AppendRow(table.Row{c.Name, c.New, c.Before, c.Made.UTC().Format(time.DateTime), c.State, c.Reason})
		}
		t.Render()
		if slices.ContainsFunc(r.Journal, func(c asyncio.Change) bool { return c.State == "begun" }) {
			fmt.Fprintln(a.stdout, "begun: a trial goes on, or its process has died; then the next run of the io job, or pgtender io revert, puts the old value back.")
		}
	}
}

func takesEffect(context string) string {
	switch context {
	case "postmaster":
		return "at a restart"
	case "sighup":
		return "at a reload"
	}
	return "at a reload, or in a session"
}

func settingNote(s asyncio.Setting) string {
	var notes []string
	if s.PendingRestart {
		notes = append(notes, "changed, waits for a restart")
	}
	for _, o := range s.Overrides {
		notes = append(notes, fmt.Sprintf("%s has %s", o.Of, o.Value))
	}
	return strings.Join(notes, "; ")
}

func printIOAdvice(a *app, r *asyncio.Report) {
	if len(r.Advice) == 0 {
		fmt.Fprintln(a.stdout, "Nothing to advise.")
	}
	for _, advice := range r.Advice {
		fmt.Fprintf(a.stdout, "%s: %s = %s", advice.Weight, advice.Setting, advice.Current)
		if advice.Proposed != "" {
			fmt.Fprintf(a.stdout, " → %s", advice.Proposed)
		}
		fmt.Fprintf(a.stdout, "\n    why: %s\n", advice.Reason)
		if advice.Evidence != "" {
			fmt.Fprintf(a.stdout, "    evidence: %s\n", advice.Evidence)
		}
		printTried(a, advice)
		printLines(a, "this role lacks", advice.Grant)
		printLines(a, "do", advice.SQL)
		if advice.Platform != "" {
			fmt.Fprintf(a.stdout, "    here: %s\n", advice.Platform)
		}
		if advice.Restart {
			fmt.Fprintln(a.stdout, "    then restart the server when it suits you; pgtender never does")
		}
		fmt.Fprintln(a.stdout)
	}
	fmt.Fprintln(a.stdout, r.Evidence)
}

// printTried says what a trial start came to, or how to make one where the server is not on this machine.
func printTried(a *app, advice asyncio.Advice) {
	p := advice.Tried
	if p == nil {
		printLines(a, "first, on the server's machine", advice.Preflight)
		return
	}
	unsure := ""
	if p.Unsure != "" {
		unsure = " (not certain: " + p.Unsure + ")"
	}
	if p.Starts {
		fmt.Fprintf(a.stdout, "    start tried here: it starts with %s = %s%s\n", advice.Setting, advice.Proposed, unsure)
		return
	}
	fmt.Fprintf(a.stdout, "    start tried here: it does NOT start with %s = %s%s\n", advice.Setting, advice.Proposed, unsure)
	printLines(a, "  it said", strings.Split(p.Output, "\n"))
}

func printLines(a *app, what string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(a.stdout, "    %s: %s\n", what, line)
	}
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/jobs/asyncio"
)

func (a *app) ioCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "io", GroupID: "keep", Short: "Asynchronous I/O settings", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(
		a.ioLookCommand("status", "Show every asynchronous I/O setting of this server, its effective value and its source", printIOStatus),
		a.ioLookCommand("recommend", "Advise on the settings: reason, evidence, SQL", printIOAdvice),
		a.ioChangeCommand("apply", "Try settings and keep what proves better (not supported yet)", asyncio.Apply),
		a.ioChangeCommand("revert", "Put back what apply changed (not supported yet)", asyncio.Revert))
	return cmd
}

func (a *app) ioLookCommand(name, short string, show func(*app, *asyncio.Report)) *cobra.Command {
	var format string
	var samples int
	cmd := &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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

func printIOStatus(a *app, r *asyncio.Report) {
	t := newTable(a.stdout, "setting", "effective", "value", "default", "source", "takes effect", "note")
	for _, s := range r.Status.Settings {
		t.AppendRow(table.Row{s.Name, s.Effective, s.Value, s.Default, s.Source, takesEffect(s.Context), settingNote(s)})
	}
	t.Render()
	fmt.Fprintf(a.stdout, "\n%s\n", r.Evidence)
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
		printLines(a, "first, on the server's machine", advice.Preflight)
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

func printLines(a *app, what string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(a.stdout, "    %s: %s\n", what, line)
	}
}

func (a *app) ioChangeCommand(name, short string, change func(context.Context, *pgxpool.Pool) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := a.load()
			if err != nil {
				return err
			}
			pool, err := a.openPrimary(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			return change(cmd.Context(), pool)
		},
	}
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/plan"
)

type applyOptions struct {
	planFile    string
	autoApprove bool
	allow       []string
	dryRun      bool
	wait        time.Duration
}

func (a *app) applyCommand() *cobra.Command {
	var opt applyOptions
	cmd := &cobra.Command{
		Use: "apply", GroupID: "schema", Short: "Bring the database to the declared schema", Args: noArgs,
		Long: `Plan, show the plan, ask, apply it, then read the catalog again: whatever still differs is an error. Statements with a
hazard (data_loss, rewrite, long_lock, breaks_code) are refused unless --allow-hazards names it. Exit code 0: applied and verified;
3: refused for a hazard; 4: the plan is stale; 1: any other error, which says what was done and what was not.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.apply(cmd.Context(), opt) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.planFile, "plan", "", "apply this plan `file` (from `pgtender plan --out`) and no other")
	flags.BoolVar(&opt.autoApprove, "auto-approve", false, "do not ask")
	flags.StringSliceVar(&opt.allow, "allow-hazards", nil, "hazards that may be run: data_loss, rewrite, long_lock, breaks_code, or all")
	flags.BoolVar(&opt.dryRun, "dry-run", false, "show the plan and change nothing")
	flags.DurationVar(&opt.wait, "wait", time.Minute, "how long to wait for another pgtender that is applying")
	return cmd
}

func (a *app) apply(ctx context.Context, opt applyOptions) error {
	allowed, err := hazards(opt.allow)
	if err != nil {
		return err
	}
	env, err := a.loadDeclared()
	if err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	pool, err := a.openPrimary(ctx, env)
	if err != nil {
		return err
	}
	pool.Close()
	engine := a.engine(env, log)
	p, err := a.planToApply(ctx, engine, opt.planFile)
	if err != nil {
		return err
	}
	if err := a.showPlan(env, engine, p, "text"); err != nil {
		return err
	}
	if p.Empty() {
		engine.Remember(ctx)
		return nil
	}
	if needed, statements := p.NotAllowed(allowed); len(needed) > 0 {
		return &apply.HazardError{Needed: needed, Statements: statements, Allowed: allowed}
	}
	if opt.dryRun {
		fmt.Fprintln(a.stdout, "\nDry run: nothing was changed.")
		return nil
	}
	if err := a.approve(env, opt.autoApprove); err != nil {
		return err
	}
	report, err := engine.Apply(ctx, p, schema.ApplyOptions{AllowHazards: allowed, RunnerWait: opt.wait, Progress: a.progress()})
	if err != nil {
		return err
	}
	if report.Already {
		fmt.Fprintln(a.stdout, "\nThe database is already as declared.")
		return nil
	}
	fmt.Fprintf(a.stdout, "\nApplied %s in %s; the live schema equals the declared one.\n", counted(report.Ran, "statement"), report.Elapsed.Round(time.Millisecond))
	return nil
}

// planToApply makes a plan, or reads the one that was reviewed.
func (a *app) planToApply(ctx context.Context, engine *schema.Engine, file string) (*plan.Plan, error) {
	if file == "" {
		return engine.Plan(ctx)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the plan file: %w", err)
	}
	defer f.Close()
	p, err := plan.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// approve asks the person at the terminal. Without one, silence is no consent.
func (a *app) approve(env *config.Env, auto bool) error {
	if auto {
		return nil
	}
	if !a.interactive() {
		return errors.New("nobody is there to approve the plan; nothing was changed. To apply it without being asked: --auto-approve")
	}
	fmt.Fprintf(a.stdout, "\nApply this to %s? [y/N] ", pg.Redact(env.URL))
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); err == nil && (answer == "y" || answer == "yes") {
		return nil
	}
	return errors.New("not approved; nothing was changed")
}

// progress prints each step as it happens, to a person; to anybody, what is waited for.
func (a *app) progress() func(apply.Event) {
	watched := isTerminal(a.stderr)
	return func(e apply.Event) {
		switch {
		case e.Kind == apply.Ended && watched:
			fmt.Fprintf(a.stderr, "  %d/%d %s (%s)\n", e.Index+1, e.Of, e.Statement.Object, e.Elapsed.Round(time.Millisecond))
		case e.Kind == apply.Waiting, e.Kind == apply.Remade:
			fmt.Fprintf(a.stderr, "  %s: %s\n", e.Kind, e.Message)
		}
	}
}

// hazards checks what --allow-hazards names.
func hazards(names []string) ([]plan.HazardName, error) {
	var out []plan.HazardName
	for _, name := range names {
		switch {
		case name == "all":
			out = append(out, plan.HazardNames()...)
		case slices.Contains(plan.HazardNames(), plan.HazardName(name)):
			out = append(out, plan.HazardName(name))
		default:
			return nil, fmt.Errorf("--allow-hazards %q is not known: use %s, or all", name, plan.JoinHazards(plan.HazardNames()))
		}
	}
	return out, nil
}

// codeOf is the exit code of an error.
func codeOf(err error) int {
	var hazard *apply.HazardError
	var stale *apply.StaleError
	switch {
	case errors.As(err, &hazard):
		return exitHazard
	case errors.As(err, &stale):
		return exitStale
	}
	return exitError
}

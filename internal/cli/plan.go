package cli

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/plan"
)

func (a *app) planCommand() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "plan", GroupID: "schema", Short: "Show what would bring the database to the declared schema", Args: noArgs,
		Long: `Show the statements that would bring the database to the declared schema, in order, each with its reason, the lock it
takes and its hazards. Nothing is changed. Exit code 0: nothing to do; 2: there are changes; 1: error.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json", "sql"); err != nil {
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
			engine := a.engine(env, log)
			p, err := engine.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.showPlan(env, engine, p, format); err != nil {
				return err
			}
			if out != "" {
				if err := writePlan(out, p); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "The plan is in %s. To apply it: pgtender apply --plan %s\n", out, out)
			}
			if !p.Empty() {
				return exitCode(exitChanges)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json or sql")
	cmd.Flags().StringVar(&out, "out", "", "also write the plan to a `file`, for `pgtender apply --plan`")
	return cmd
}

// engine is the schema engine of an env.
func (a *app) engine(env *config.Env, log *zap.Logger) *schema.Engine { return schema.New(env, log) }

// loadDeclared loads a configuration that must declare a schema.
func (a *app) loadDeclared() (*config.Env, error) {
	env, err := a.load()
	if err != nil {
		return nil, err
	}
	if len(env.Sources) == 0 {
		return nil, fmt.Errorf("no schema is declared: name its sources in env.schema.src of %s, or with --to", orDefaultFile(env.File))
	}
	return env, nil
}

func orDefaultFile(file string) string {
	if file == "" {
		return "atlas.hcl"
	}
	return file
}

func (a *app) showPlan(env *config.Env, engine *schema.Engine, p *plan.Plan, format string) error {
	switch format {
	case "json":
		return p.JSON(a.stdout)
	case "sql":
		return p.SQL(a.stdout)
	}
	if err := p.Text(a.stdout); err != nil {
		return err
	}
	for _, note := range env.Ignored {
		fmt.Fprintf(a.stdout, "\n-- Passed over: %s at %s: %s\n", note.Name, note.Pos, note.Reason)
	}
	if n := len(engine.Ignored()); n > 0 {
		fmt.Fprintf(a.stdout, "\n-- Beside the sources: %d files or folders that are neither .hcl nor .sql were not read (--log-level debug names them).\n", n)
	}
	return nil
}

// writePlan writes a plan file whole or not at all.
func writePlan(file string, p *plan.Plan) error {
	var buf bytes.Buffer
	if err := p.JSON(&buf); err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, buf.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

package cli

import (
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/checks"
)

func (a *app) checkCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "check", GroupID: "keep", Short: "Run the health checks once", Args: noArgs,
		Long: `Run the health checks once. Exit code 0: ok; 1: warning; 2: critical; 3: unknown, also when a check could not be run (the
convention of monitoring plugins).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			log, err := a.logger()
			if err != nil {
				return err
			}
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			sources := checks.Sources{}
			if len(env.Sources) > 0 {
				engine := a.engine(env, log)
				// Compared when the check asks, so beside the others and only once.
				sources.Drift = sync.OnceValue(func() checks.Drift {
					d := checks.Drift{At: time.Now()}
					drift, err := engine.Drift(cmd.Context())
					if err != nil {
						d.Err = err
						return d
					}
					for _, diff := range drift.Differences {
						d.Objects = append(d.Objects, diff.Key.String())
					}
					return d
				})
			}
			all, err := checks.All(env, sources)
			if err != nil {
				return err
			}
			results := checks.NewCollector(checks.Options{Pool: pool, Checks: all, Log: log}).Once(cmd.Context())
			if format == "json" {
				err = checks.RenderJSON(a.stdout, results, time.Now())
			} else {
				err = checks.RenderText(a.stdout, results)
			}
			if code := checks.ExitCode(results); err == nil && code != exitOK {
				return exitCode(code)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

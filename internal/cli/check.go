package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs/drift"
	"github.com/pgtender/pgtender/schema"
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
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				if format == "text" { // what runs monitoring plugins reads stdout only
					fmt.Fprintf(a.stdout, "UNKNOWN   the database cannot be asked: %s\n", oneLine(strings.ReplaceAll(err.Error(), "\n", "; ")))
				}
				return err
			}
			defer pool.Close()
			if err := cover(cmd.Context(), pool, env, nil); err != nil {
				return err
			}
			sources := checks.Sources{}
			if len(env.Sources) > 0 {
				// Compared when the check asks, so beside the others and only once.
				sources.Drift = sync.OnceValue(func() checks.Drift { return compare(cmd.Context(), env, pool) })
			}
			all, err := checks.All(env, sources)
			if err != nil {
				return err
			}
			results := checks.NewCollector(checks.Options{Pool: pool, Checks: all}).Once(cmd.Context())
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

// compare finds the drift. On a standby the sources cannot be loaded, unless elsewhere: then it is what the primary's ledger says.
func compare(ctx context.Context, env *config.Env, pool *pgxpool.Pool) checks.Drift {
	server, err := pg.Preflight(ctx, pool)
	if err != nil {
		return checks.Drift{Err: err}
	}
	if server.InRecovery && env.DevURL == "" {
		last, err := drift.Latest(ctx, pool)
		return checks.Drift{At: last.At, Objects: last.Objects, Err: cmp.Or(err, last.Err)}
	}
	found, err := schema.New(env, nil).Drift(ctx)
	if err != nil {
		return checks.Drift{Err: err}
	}
	return checks.Drift{At: time.Now(), Objects: found.Names()}
}

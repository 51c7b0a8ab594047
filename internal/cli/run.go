package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/desired"
)

type serveOptions struct {
	listen    string
	webConfig string
	// ready is called once, when every job has had its first turn; it must not block for long.
	ready func(ctx context.Context, d *daemon)
}

func (a *app) runCommand() *cobra.Command {
	var opt serveOptions
	var once bool
	cmd := &cobra.Command{
		Use: "run", GroupID: "keep", Short: "Run the daemon: apply what is safe, then keep the schedules", Args: noArgs,
		Long: `Run the daemon: apply what is safe, then keep the schedules and serve metrics, probes and a status page. Of several daemons
for one database one acts. SIGTERM or Ctrl-C ends it within ten seconds: running jobs are given a moment, then rolled back.
A server that cannot be reached is waited for. With --once each job is run once; exit code 1 if any failed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return a.runAllOnce(cmd.Context())
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), env, opt)
		},
	}
	cmd.Flags().StringVar(&opt.listen, "listen", "", "where to serve metrics and probes; overrides the file (`host:port`)")
	cmd.Flags().StringVar(&opt.webConfig, "web.config.file", "", "TLS and basic authentication, in prometheus/exporter-toolkit's format (`file`)")
	cmd.Flags().BoolVar(&once, "once", false, "run each job once, and leave")
	return cmd
}

func (a *app) runAllOnce(ctx context.Context) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx, log, all)
	if err != nil {
		return err
	}
	defer w.close()
	if len(w.tasks) == 0 {
		return fmt.Errorf("%s declares nothing to do: no schema, no policy, no job", orDefaultFile(w.env.File))
	}
	return a.runOnce(ctx, w, jobs.Once{})
}

// gcPercent trades memory for the time of a scrape: measured on 300 tables, 40 kept 30 MB resident with a p99 of 7 ms, 150 keeps 35 MB with 5 ms.
const gcPercent = 150

// serve runs the daemon until ctx ends.
func (a *app) serve(ctx context.Context, env *config.Env, opt serveOptions) error {
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	defer log.Sync() //nolint:errcheck // stderr cannot be synced everywhere
	if opt.listen != "" {
		if err := config.CheckListen(opt.listen); err != nil {
			return err
		}
		env.Daemon.Listen = opt.listen
	}
	pool, err := pg.Open(ctx, env.URL, maxConns)
	if err != nil {
		return err
	}
	d, err := a.newDaemon(ctx, env, pool, log, opt)
	if err != nil {
		pool.Close()
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := d.run(ctx, opt.ready)
		pool.Close() // waits for sessions in use
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		log.Info("stopping", zap.NamedError("because", context.Cause(ctx)))
	}
	select {
	case err := <-ended:
		if err == nil {
			log.Info("stopped")
		}
		return err
	case <-time.After(stopTime):
		log.Warn("stopping without the server, which does not answer; the ledger will show what was running as interrupted")
		return nil
	}
}

// stopTime bounds the end of a daemon, whatever the server does: the jobs' own time for it, and a little more.
const stopTime = 8500 * time.Millisecond

// await waits until the server can be worked with, and the declared schema and policies have been found sound. Only what waiting
// cannot mend ends it: a server of another version, a proxy that
// pools transactions, a declaration with errors.
func (d *daemon) await(ctx context.Context) error {
	pause, logged := time.Second, ""
	for {
		err := d.sound(ctx)
		var version *pg.VersionError
		var sources *desired.Error
		var proxy *pg.ProxyError
		var scratch *desired.ScratchError
		switch {
		case errors.As(err, &scratch):
			// The drift job will say so each time. Partitions must not run out for that.
			d.log.Error("the declared schema cannot be loaded; the other jobs go on without it", zap.Error(err))
			return nil
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &version), errors.As(err, &sources), errors.As(err, &proxy):
			return err
		}
		d.watch.troubled(err)
		if err.Error() != logged {
			logged = err.Error()
			d.log.Error("cannot begin yet, trying again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// sound loads the declared schema, which every daemon remembers, and holds the policies against it.
func (d *daemon) sound(ctx context.Context) error {
	if err := pg.RequireSessions(ctx, d.env.URL); err != nil {
		return err
	}
	server, err := pg.Preflight(ctx, d.pool)
	if err != nil {
		return err
	}
	if !server.InRecovery && len(d.env.Sources) > 0 { // a standby cannot make a scratch database; its primary's daemon does the work
		err = d.engine.Load(ctx)
	}
	var scratch *desired.ScratchError
	if err != nil && !errors.As(err, &scratch) {
		return err
	}
	return errors.Join(cover(ctx, d.pool, d.env, d.declared.Loaded()), err)
}

// engineOf is the schema engine over remembered sources, for a process that compares more than once.
func engineOf(env *config.Env, log *zap.Logger) (*schema.Engine, *schema.Memo) {
	memo := &schema.Memo{From: schema.Sources(desired.FromEnv(env, log))}
	return schema.NewFrom(env.URL, memo, log), memo
}

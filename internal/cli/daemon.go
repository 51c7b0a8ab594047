package cli

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/overview"
	"github.com/pgtender/pgtender/internal/web"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/analyze"
	"github.com/pgtender/pgtender/jobs/archive"
	"github.com/pgtender/pgtender/jobs/asyncio"
	"github.com/pgtender/pgtender/jobs/drift"
	"github.com/pgtender/pgtender/jobs/partition"
	"github.com/pgtender/pgtender/jobs/refresh"
	"github.com/pgtender/pgtender/jobs/sqljob"
	"github.com/pgtender/pgtender/schema"
)

// statisticsSpec is how often it is looked whether the statistics of partitioned tables are due.
const statisticsSpec = "@hourly"

// daemon is everything that runs behind `pgtender run`.
type daemon struct {
	env       *config.Env
	pool      *pgxpool.Pool
	log       *zap.Logger
	engine    *schema.Engine
	declared  *schema.Memo
	runner    atomic.Pointer[jobs.Runner] // nil until the server was found sound
	begin     func(context.Context) (*jobs.Runner, error)
	collector *checks.Collector
	overview  *overview.Reader
	exporter  *checks.Exporter
	server    *web.Server
	watch     *watch
	started   time.Time
}

func (a *app) newDaemon(ctx context.Context, env *config.Env, pool *pgxpool.Pool, log *zap.Logger, opt serveOptions) (*daemon, error) {
	d := &daemon{env: env, pool: pool, log: log, watch: newWatch(pool, env.URL), started: time.Now()}
	engine, memo := engineOf(env, log)
	d.engine, d.declared = engine, memo
	d.begin = func(ctx context.Context) (*jobs.Runner, error) {
		tasks, err := a.tasks(ctx, env, pool, engine, memo)
		if err != nil {
			return nil, err
		}
		return jobs.NewRunner(jobs.Options{
			URL: env.URL, Pool: pool, Location: env.Daemon.Location, Log: log, History: env.Daemon.History, Observer: observer{d},
		}, tasks)
	}
	sources := checks.Sources{}
	if len(env.Sources) > 0 {
		sources.Drift = d.watch.lastDrift
	}
	all, err := checks.All(env, sources)
	if err != nil {
		return nil, err
	}
	d.collector = checks.NewCollector(checks.Options{Pool: pool, Checks: all, Log: log})
	d.overview = overview.NewReader(overview.Options{Pool: pool, Env: env, Tasks: d.taskNames, Log: log})
	d.exporter = checks.NewExporter(checks.ExporterOptions{
		Collector: d.collector, Jobs: d.jobStatus, Leader: d.leads, Views: views(env), Version: version(),
	})
	d.server, err = web.New(web.Options{
		Listen: env.Daemon.Listen, ConfigFile: opt.webConfig, Collectors: []prometheus.Collector{d.exporter}, Text: d.exporter.Text, Log: log,
		Ready: d.ready,
		Source: web.Source{Version: version(), Env: env, Results: d.collector.Results, Database: d.watch.state,
			Leader: d.leadership, Jobs: d.pageJobs, Ready: d.ready, Drift: d.watch.lastDrift, Overview: d.overview.Latest},
	})
	if err != nil {
		return nil, err
	}
	return d, d.server.Listen(ctx)
}

// tasks are all that the file declares, in no order.
func (a *app) tasks(ctx context.Context, env *config.Env, pool *pgxpool.Pool, engine drift.Engine, memo *schema.Memo) ([]jobs.Task, error) {
	var all []jobs.Task
	if len(env.Sources) > 0 {
		t, err := drift.Task(env.Daemon.Apply, engine)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if err := cover(ctx, pool, env, memo.Loaded()); err != nil {
		return nil, err
	}
	var layers map[config.Table]int
	if declared := memo.Loaded(); declared != nil {
		layers = depths(declared.Snapshot, env)
	} else if found, err := refresh.Depths(ctx, pool, env); err == nil { // before the first apply there are no views
		layers = found
	}
	var statistics []jobs.Task
	if tables := analyze.Tables(env); len(tables) > 0 {
		schedule, err := cron.ParseStandard(statisticsSpec)
		if err != nil {
			return nil, err
		}
		statistics = append(statistics, analyze.New(pool, tables, schedule, statisticsSpec))
	}
	var own []jobs.Task
	for _, j := range env.Jobs {
		own = append(own, sqljob.New(j, env.URL))
	}
	return slices.Concat(all,
		partition.Tasks(env, pool),
		archive.Tasks(env, pool),
		refresh.Tasks(env, refresh.Options{Pool: pool, Depths: layers}),
		statistics,
		asyncio.Tasks(env, asyncio.Options{Pool: pool, URL: env.URL, Unfinished: asyncio.Unfinished(ctx, pool)}),
		own), nil
}

// run serves at once, waits for the server, and then works until ctx ends.
func (d *daemon) run(ctx context.Context, ready func(context.Context, *daemon)) error {
	d.log.Info("listening", zap.String("address", d.server.Addr()))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.server.Run(ctx) })
	group.Go(func() error {
		if err := d.await(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		group.Go(func() error { d.watch.run(ctx); return nil })
		group.Go(func() error { return d.collector.Run(ctx) })
		group.Go(func() error { d.overview.Run(ctx); return nil })
		runner, err := d.begin(ctx)
		if err != nil {
			return err
		}
		d.runner.Store(runner)
		d.exporter.Begin(views(d.env)...)
		return runner.Run(ctx)
	})
	if ready != nil {
		group.Go(func() error {
			if d.firstTurn(ctx) {
				ready(ctx, d)
			}
			return nil
		})
	}
	return group.Wait()
}

// firstTurn waits until every job has run and the probes say ready, or ctx ends.
func (d *daemon) firstTurn(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
		waits := func(s jobs.TaskStatus) bool { return s.Last == nil || !s.Running.IsZero() }
		unmet := func(c web.Condition) bool { return !c.OK }
		if d.runner.Load() != nil && !slices.ContainsFunc(d.status(), waits) && !slices.ContainsFunc(d.ready(), unmet) {
			return true
		}
	}
}

func (d *daemon) ready() []web.Condition {
	return d.watch.ready(len(d.env.Sources) > 0, d.collector.Ready())
}

// status is of the jobs; none before the daemon has begun.
func (d *daemon) status() []jobs.TaskStatus {
	if r := d.runner.Load(); r != nil {
		return r.Status()
	}
	return nil
}

func (d *daemon) standing() leader.Status {
	if r := d.runner.Load(); r != nil {
		return r.Leadership()
	}
	return leader.Status{State: leader.Connecting, Since: d.started}
}

func (d *daemon) leads() bool { return d.standing().State == leader.Leading }

func (d *daemon) leadership() web.Leader {
	s := d.standing()
	out := web.Leader{Leading: s.State == leader.Leading, State: string(s.State), Since: s.Since}
	if s.Err != nil {
		out.Why = s.Err.Error()
	}
	return out
}

func (d *daemon) jobStatus() []checks.JobStatus {
	var out []checks.JobStatus
	for _, s := range d.status() {
		out = append(out, checks.JobStatus{Job: s.Job, Target: s.Target, LastSuccess: s.LastSuccess, Next: s.Next})
	}
	return out
}

func (d *daemon) pageJobs() []web.Job {
	var out []web.Job
	for _, s := range d.status() {
		j := web.Job{Job: s.Job, Target: s.Target, Schedule: s.Spec, Next: s.Next, Running: s.Running, LastSuccess: s.LastSuccess}
		if s.Last != nil {
			j.Outcome, j.Started, j.Finished, j.Summary, j.Error = string(s.Last.Outcome), s.Last.Started, s.Last.Finished, s.Last.Summary, s.Last.Error
		}
		out = append(out, j)
	}
	return out
}

// taskNames are the tasks whose runs the page shows.
func (d *daemon) taskNames() []overview.Task {
	var out []overview.Task
	for _, s := range d.status() {
		out = append(out, overview.Task{Job: s.Job, Target: s.Target})
	}
	return out
}

// observer counts runs for the exporter, and has the page read what came of them.
type observer struct{ d *daemon }

func (o observer) Finished(t jobs.Task, r jobs.Result, _ error, took time.Duration) {
	o.d.exporter.Observe(t.Job, t.Target, string(r.Outcome), took)
	o.d.overview.Nudge()
	if t.Job == drift.JobName {
		o.d.watch.soon()
	}
}

func views(env *config.Env) []config.Table {
	var out []config.Table
	for _, r := range env.Views() {
		out = append(out, r.View)
	}
	return out
}

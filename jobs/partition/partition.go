// Package partition keeps the partitions of tables ahead of the server's clock.
//
// A policy wants the current interval and so many whole ones after it, counted from now and never from the data. What of that
// no partition holds, whoever made the others and however wide they are, is made: a table LIKE the parent
// with a CHECK of its bounds, given what LIKE does not bring, and attached under SHARE UPDATE EXCLUSIVE with a short
// lock_timeout, the partitions of one table in one transaction, so that a crash leaves either all of it or nothing.
package partition

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Job makes partitions. Its fields may be changed before the first run.
type Job struct {
	Pool     *pgxpool.Pool
	Location *time.Location // where intervals begin
	Patience pg.Patience

	ScanBytes int64 // a DEFAULT partition up to this size is read under a strong lock; above it a CHECK is validated before
	ReadBytes int64 // and up to this size, where the CHECK would refuse rows of today

	Proven pg.Patience   // for an attach while that CHECK refuses rows; the CHECK goes when it is over
	Tidy   time.Duration // how long a run that was stopped tries to take away what it made
}

// New is the job with its usual limits: each keeps others waiting for less than about a tenth of a second.
func New(pool *pgxpool.Pool, loc *time.Location) *Job {
	proven := pg.Gentle
	proven.Attempts, proven.MaxPause = 6, time.Second
	return &Job{Pool: pool, Location: loc, Patience: pg.Gentle, Proven: proven, Tidy: 10 * time.Second, ScanBytes: 16 << 20, ReadBytes: 64 << 20}
}

// Tasks are the env's partition policies, one task each.
func Tasks(env *config.Env, pool *pgxpool.Pool) []jobs.Task {
	job := New(pool, env.Daemon.Location)
	glance := &jobs.Glance{Idle: func(ctx context.Context, targets []string) (map[string]jobs.Result, error) {
		return job.Idle(ctx, slices.DeleteFunc(slices.Clone(env.Partitions), func(p config.Partition) bool { return !slices.Contains(targets, p.Table.String()) })...)
	}}
	var tasks []jobs.Task
	for _, p := range env.Partitions {
		tasks = append(tasks, jobs.Task{
			Job: "partition", Target: p.Table.String(), Schedule: p.Schedule.Schedule, Spec: p.Schedule.Text,
			Timeout: time.Hour, Locks: []string{p.Table.String()}, Order: 10, Glance: glance,
			Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) { return job.Run(ctx, run, p) },
		})
	}
	return tasks
}

// Run brings the tables of the policies up to what they want. When nothing is missing that is one query for all of
// them. A partition that cannot be made does not hinder the others; the error then names every one.
func (j *Job) Run(ctx context.Context, run *jobs.Run, policies ...config.Partition) (jobs.Result, error) {
	tables := make([]config.Table, len(policies))
	for i, p := range policies {
		tables[i] = p.Table
	}
	sets, err := parts.Read(ctx, j.Pool, tables)
	if err != nil {
		return jobs.Result{Outcome: jobs.Failure}, err
	}
	p := &pass{}
	work := j.survey(ctx, run, policies, sets, p)
	if err := j.draw(ctx, work); err != nil {
		p.errs = append(p.errs, err)
		work = nil
	}
	j.fillAll(ctx, run, work, p)
	if len(p.created) > 0 {
		if sets, err = parts.Read(context.WithoutCancel(ctx), j.Pool, tables); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	p.until = covered(sets, j.Location)
	p.yield()
	p.errs = parts.Stop(ctx, p.errs, p.done(run.DryRun))
	return p.result(run.DryRun), errors.Join(p.errs...)
}

// Idle returns, by table, what a run would report for those policies that lack nothing and of whose tables nothing is to be said. It is
// one query for all of them.
func (j *Job) Idle(ctx context.Context, policies ...config.Partition) (map[string]jobs.Result, error) {
	tables := make([]config.Table, len(policies))
	for i, p := range policies {
		tables[i] = p.Table
	}
	sets, err := parts.Read(ctx, j.Pool, tables)
	if err != nil {
		return nil, err
	}
	of := map[config.Table][]parts.Set{}
	for _, s := range sets {
		of[s.Asked] = append(of[s.Asked], s)
	}
	idle := map[string]jobs.Result{}
	for _, policy := range policies {
		own := of[policy.Table]
		if len(own) > 0 && !slices.ContainsFunc(own, func(s parts.Set) bool { return j.wants(policy, &s) }) {
			p := &pass{until: covered(own, j.Location)}
			idle[policy.Table.String()] = p.result(false)
		}
	}
	return idle, nil
}

// wants tells whether a run would do or say anything about a set.
func (j *Job) wants(policy config.Partition, set *parts.Set) bool {
	return set.Problem != nil || len(set.Pending()) > 0 || set.Default != nil && len(set.Default.Moves)+len(set.Default.Proofs) > 0 ||
		len(set.Missing(policy.Interval, policy.Ahead, j.Location)) > 0
}

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
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

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

// pass is one run over some policies.
type pass struct {
	created []string
	moved   int64
	until   string
	notes   []string // what a person should know
	errs    []error  // each names its object
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

// chore is one set that lacks partitions.
type chore struct {
	policy  config.Partition
	set     *parts.Set
	missing []parts.Wanted
	print   *blueprint
	made    []string
}

// survey says which sets lack something, and reports what is wrong with the others.
func (j *Job) survey(ctx context.Context, run *jobs.Run, policies []config.Partition, sets []parts.Set, p *pass) []*chore {
	var work []*chore
	for _, policy := range policies {
		for i := range sets {
			set := &sets[i]
			switch {
			case set.Asked != policy.Table:
			case set.Problem != nil:
				p.errs = append(p.errs, j.explain(ctx, policy, set.Problem))
			default:
				p.warn(run, policy, set, j.Location)
				if err := j.tidy(ctx, run, set); err != nil {
					p.errs = append(p.errs, err)
				} else if missing := set.Missing(policy.Interval, policy.Ahead, j.Location); len(missing) > 0 {
					work = append(work, &chore{policy: policy, set: set, missing: missing})
				}
			}
		}
	}
	return work
}

// draw reads the blueprints of all that is to be made, in one query, under the patience: some catalog functions wait for locks.
func (j *Job) draw(ctx context.Context, work []*chore) error {
	var tables, models []uint32
	for _, c := range work {
		tables = append(tables, c.set.OID)
		for _, w := range c.missing {
			if m := model(c.set, w.Range); m != 0 && !slices.Contains(models, m) {
				models = append(models, m)
			}
		}
	}
	if len(tables) == 0 {
		return nil
	}
	var prints map[uint32]*blueprint
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		prints, err = readBlueprints(ctx, tx, tables, models)
		return err
	})
	if err != nil {
		return fmt.Errorf("read what new partitions must be given: %w", err)
	}
	for _, c := range work {
		if c.print = prints[c.set.OID]; c.print == nil {
			return fmt.Errorf("%s was dropped meanwhile", c.set.Table)
		}
	}
	return nil
}

// atOnce is how many tables are worked on at the same time, each over a session of its own: while one waits for the disk or for a
// lock, the other goes on.
const atOnce = 2

// fillAll makes what the sets lack. The branches of one table are worked on one after the other; a dry run is told in order.
func (j *Job) fillAll(ctx context.Context, run *jobs.Run, work []*chore, p *pass) {
	passes := make([]pass, len(work))
	var g errgroup.Group
	if g.SetLimit(atOnce); run.DryRun {
		g.SetLimit(1)
	}
	for from := 0; from < len(work); {
		to := from + 1
		for to < len(work) && work[to].set.Asked == work[from].set.Asked {
			to++
		}
		branches, own := work[from:to], passes[from:to]
		g.Go(func() error {
			for i, c := range branches {
				if ctx.Err() == nil {
					j.fill(ctx, run, c, &own[i])
				}
			}
			return nil
		})
		from = to
	}
	_ = g.Wait() // errors are kept in the passes
	for _, own := range passes {
		p.created = append(p.created, own.created...)
		p.moved += own.moved
		p.errs = append(p.errs, own.errs...)
	}
}

// fill makes what one set lacks.
func (j *Job) fill(ctx context.Context, run *jobs.Run, c *chore, p *pass) {
	if err := c.print.requireOwner(c.policy.Table, c.set.Table); err != nil {
		p.errs = append(p.errs, err)
		return
	}
	var all []design
	for _, w := range c.missing {
		all = append(all, c.design(w))
	}
	defer func() { p.errs = summarise(p.errs) }()
	if run.DryRun {
		err := j.rehearse(ctx, run, all, p)
		var refusal *Refusal
		if errors.As(err, &refusal) && len(all) > 1 { // as in do, none hinders another
			for i := range all {
				if err := j.rehearse(ctx, run, all[i:i+1], p); err != nil {
					p.errs = append(p.errs, err)
				}
			}
		} else if err != nil {
			p.errs = append(p.errs, err)
		}
		return
	}
	for group := range slices.Chunk(all, together) {
		if !j.do(ctx, run, c, group, p) {
			return // the next ones would meet the same lock
		}
	}
}

func (c *chore) design(w parts.Wanted) design {
	return design{set: c.set, want: w, name: config.Table{Schema: c.set.Table.Schema, Name: w.Name}, print: c.print,
		model: c.print.Models[model(c.set, w.Range)], made: append([]string{}, c.made...)}
}

// do makes partitions and keeps account. What cannot be made together is made one by one, so that none hinders another. It reports
// whether to go on.
func (j *Job) do(ctx context.Context, run *jobs.Run, c *chore, group []design, p *pass) bool {
	for i := range group {
		group[i].made = append([]string{}, c.made...) // never nil: the server must not see NULL
	}
	o, err := j.create(ctx, run, c.policy, group)
	for _, m := range o.made {
		if err != nil {
			break
		}
		c.made = append(c.made, m.name.Name)
		p.created = append(p.created, m.name.String())
		p.moved += m.moved
		run.Say("made partition %s of %s %s", m.name, m.set.Table, m.set.Key.ForValues(m.want.Range))
		if m.moved > 0 {
			run.Say("moved %s out of %s into it", rowCount(m.moved), m.set.Default.Table)
		}
	}
	var busy *pg.BusyError
	var refusal *Refusal
	switch {
	case err == nil:
		p.errs = append(p.errs, o.refused...)
		return true
	case errors.As(err, &busy) || ctx.Err() != nil:
		p.errs = append(p.errs, parts.Busy(context.WithoutCancel(ctx), j.Pool, err, o.locks))
		return false
	case len(group) == 1 || (o.whole || pg.Is(err, pg.InsufficientPrivilege)) && !errors.As(err, &refusal):
		p.errs = append(p.errs, err)
		return true
	}
	for i := range group {
		if !j.do(ctx, run, c, group[i:i+1], p) {
			return false
		}
	}
	return true
}

// rehearse says what create would do.
func (j *Job) rehearse(ctx context.Context, run *jobs.Run, group []design, p *pass) error {
	_, names, err := around(ctx, j.Pool, group)
	if err != nil {
		return err
	}
	var found besides
	if group[0].set.Default != nil {
		if found, err = j.look(ctx, group); err != nil {
			return err
		}
		how, err := j.choose(ctx, group, found)
		switch {
		case err != nil:
			return err
		case how == proveFirst:
			run.Say("-- beforehand, CHECKs on %s are added NOT VALID, validated, and dropped after the attach", group[0].set.Default.Table)
		case how == moveAside:
			return j.rehearseMove(ctx, run, group, found, p)
		}
	}
	for _, d := range group {
		leftover, d, err := d.settle(names)
		if err != nil {
			p.errs = append(p.errs, err)
			continue
		}
		p.created = append(p.created, d.name.String())
		statements := append(d.build(), d.attach())
		switch {
		case leftover:
			run.Say("-- %s is there and will be attached if it is empty:", d.name)
			statements = append(d.adopt(), d.attach())
		}
		run.Say("-- %s:", d.name)
		for _, s := range statements {
			run.Say("%s;", s)
		}
	}
	return nil
}

// warn reports partitions that nobody can use.
func (p *pass) warn(run *jobs.Run, policy config.Partition, set *parts.Set, loc *time.Location) {
	for _, c := range set.Pending() {
		finish := fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE;", ident(set.Table), ident(c.Table))
		what := fmt.Sprintf("a DETACH CONCURRENTLY of %s was not finished: no session sees its rows or can insert into it, and its range (%s) stays taken",
			c.Table, set.Key.ForValues(c.Range))
		if slices.ContainsFunc(set.Blocking(policy.Interval, policy.Ahead, loc), func(b parts.Child) bool { return b.OID == c.OID }) {
			p.errs = append(p.errs, &Refusal{policy.Table, what, "Finish it, and then attach the table again or rename it; the next run makes what is missing:\n  " + finish})
			continue
		}
		note := what + "; finish it: " + finish
		p.notes = append(p.notes, note)
		run.Say("%s", note)
	}
}

// covered says in one word how far the tables reach: the worst of them.
func covered(sets []parts.Set, loc *time.Location) string {
	var worst *time.Time
	for _, s := range sets {
		if s.Problem != nil {
			continue
		}
		end, ok := s.CoveredUntil(loc)
		if !ok {
			return "" // not even now
		}
		if end.Kind != parts.At {
			continue
		}
		t := s.Key.Instant(end.Time, loc).In(loc)
		if worst == nil || t.Before(*worst) {
			worst = &t
		}
	}
	if worst == nil {
		return "the end of time"
	}
	return worst.Format(time.RFC3339)
}

// done says what a run that was stopped has changed; nothing: "".
func (p *pass) done(dry bool) string {
	if dry || len(p.created) == 0 {
		return ""
	}
	return "made " + strings.Join(p.created, ", ")
}

// rowCount is 1 row, or 2 rows.
func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func (p *pass) result(dry bool) jobs.Result {
	r := jobs.Result{Outcome: jobs.Noop, Detail: map[string]any{}}
	verb := "created"
	if dry {
		verb = "would create"
	}
	switch {
	case len(p.created) == 0 && p.until != "":
		r.Summary = "nothing to do, covered until " + p.until
	case len(p.created) == 0:
		r.Summary = "no partition holds now"
	case len(p.created) == 1:
		r.Summary = fmt.Sprintf("%s partition %s", verb, p.created[0])
	default:
		r.Summary = fmt.Sprintf("%s %d partitions", verb, len(p.created))
	}
	if len(p.created) > 0 {
		r.Detail["created"] = p.created
		if !dry {
			r.Outcome = jobs.Success
			r.Summary += ", covered until " + p.until
		}
	}
	if p.moved > 0 {
		r.Detail["moved_from_default"] = p.moved
		r.Summary += fmt.Sprintf(", moved %s out of the DEFAULT partition", rowCount(p.moved))
	}
	if p.until != "" {
		r.Detail["covered_until"] = p.until
	}
	if len(p.notes) > 0 {
		r.Detail["notes"] = p.notes
		r.Summary += "; " + strings.Join(p.notes, "; ")
	}
	if len(p.errs) > 0 {
		r.Outcome = jobs.Failure
	}
	return r
}

// explain turns a problem into an error with advice that can be followed.
func (j *Job) explain(ctx context.Context, policy config.Partition, problem *parts.Problem) error {
	advice := problem.Advice
	if problem.Reason == parts.NotPartitioned {
		sketch, err := parts.Advise(ctx, j.Pool, policy.Table, policy.Interval, j.Location)
		if err != nil {
			return err
		}
		advice = sketch
	}
	what := problem.What
	if policy.Pos.File != "" {
		what += fmt.Sprintf(" (the policy is at %s)", policy.Pos)
	}
	return &Refusal{policy.Table, what, advice}
}

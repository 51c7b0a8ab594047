// Package archive moves what is old out of a live table into its archive.
//
// Whole partitions change hands: DETACH from the live table and ATTACH to the archive in one transaction, by the real
// bounds in the catalog, so that each row is in exactly one of the two for every reader and after every crash. The
// partition's bounds are proved by a CHECK beforehand, so that nothing is read while locks are held; all locks together
// are waited for no longer than one lock_timeout. The partition's foreign keys go: an archived row must not vanish with a row that it
// points to. Each move is a row in pgtender.archived_partition, committed with it.
package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Job archives. Its fields may be changed before the first run.
type Job struct {
	Pool     *pgxpool.Pool
	Location *time.Location // in which the age of rows is reckoned
	Patience pg.Patience
}

// New is the job with the usual patience.
func New(pool *pgxpool.Pool, loc *time.Location) *Job {
	return &Job{Pool: pool, Location: loc, Patience: pg.Gentle}
}

// Tasks are the env's archive policies, one task each.
func Tasks(env *config.Env, pool *pgxpool.Pool) []jobs.Task {
	job := New(pool, env.Daemon.Location)
	var tasks []jobs.Task
	for _, a := range env.Archives {
		locks := []string{a.Table.String(), a.Into.String()}
		slices.Sort(locks)
		tasks = append(tasks, jobs.Task{
			Job: "archive", Target: a.Table.String(), Schedule: a.Schedule.Schedule, Spec: a.Schedule.Text,
			Timeout: 4 * time.Hour, Locks: locks, Order: 20,
			Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) { return job.Run(ctx, run, a) },
		})
	}
	return tasks
}

// Refusal is a move that was not made, in words for the person who must decide. Nothing was moved.
type Refusal struct {
	Table  config.Table // the live one
	What   string
	Advice string
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("archive %s: %s", r.Table, r.What)
	if r.Advice != "" {
		s += "\n" + r.Advice
	}
	return s
}

// pass is one run over one policy.
type pass struct {
	policy config.Archive
	live   parts.Set
	into   parts.Set
	cut    time.Time
	edge   parts.Bound // the cut in the key's terms
	moves  []move
	proved []string // partitions that were given a CHECK of their bounds
	errs   []error
}

// Run moves the partitions of the policy's table that are wholly older than the policy says by the server's clock, the oldest first. When none
// is, that is two queries. A partition that cannot be moved does not hinder the others; the error then names every one.
func (j *Job) Run(ctx context.Context, run *jobs.Run, policy config.Archive) (jobs.Result, error) {
	p, err := j.open(ctx, policy)
	if err != nil {
		return jobs.Result{Outcome: jobs.Failure}, err
	}
	due := p.live.Due(p.cut, j.Location)
	if run.DryRun {
		p.explain(run, due, j.Location)
	}
	if len(due) > 0 {
		j.moveAll(ctx, run, p, due)
	}
	if !run.DryRun && ctx.Err() == nil {
		if err := j.count(ctx, run, p); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	p.errs = parts.Stop(ctx, p.errs, p.done())
	return p.result(run.DryRun, j.Location), errors.Join(p.errs...)
}

// open reads both tables and refuses what cannot be archived at all.
func (j *Job) open(ctx context.Context, policy config.Archive) (*pass, error) {
	refuse := func(what, advice string) (*pass, error) {
		if policy.Pos.File != "" {
			what += fmt.Sprintf(" (the policy is at %s)", policy.Pos)
		}
		return nil, &Refusal{policy.Table, what, advice}
	}
	switch {
	case !policy.Partitioned:
		return refuse("it is archived by rows, which is not supported yet",
			"Partition the table by time and put the archive block into its partition block, or take the policy out.")
	case policy.Granularity == config.ByRow:
		return refuse(`granularity = "row" is not supported yet`, `Use granularity = "partition": whole partitions are moved, so rows live up to one interval longer.`)
	}
	sets, err := parts.Read(ctx, j.Pool, []config.Table{policy.Table, policy.Into})
	if err != nil {
		return nil, err
	}
	p := &pass{policy: policy, live: sets[0], into: sets[len(sets)-1]}
	switch {
	case p.live.Problem != nil:
		return refuse(p.live.Problem.What, p.live.Problem.Advice)
	case p.live.Table != policy.Table:
		return refuse(fmt.Sprintf("it is not partitioned by time itself, but its branch %s is; archiving branches is not supported yet", p.live.Table),
			"Take the archive block out.")
	case p.into.Problem != nil && p.into.Problem.Reason == parts.NoSuchTable:
		return refuse(fmt.Sprintf("its archive %s does not exist", policy.Into), "`pgtender apply` creates it.")
	case p.into.Problem != nil:
		return refuse(fmt.Sprintf("its archive %s cannot take partitions: %s", policy.Into, p.into.Problem.What),
			"Rename that table; `pgtender apply` then creates the archive, partitioned like the live table.")
	case p.into.Table != policy.Into || p.into.Key != p.live.Key:
		return refuse(fmt.Sprintf("its archive %s is partitioned by %s %s, and the live table by %s %s", p.into.Table, p.into.Key.Column, p.into.Key.Type, p.live.Key.Column, p.live.Key.Type),
			"Rename that table; `pgtender apply` then creates the archive, partitioned like the live table.")
	case p.into.Default != nil:
		return refuse(fmt.Sprintf("its archive %s has a DEFAULT partition, %s, which every move would have to read under a lock", p.into.Table, p.into.Default.Table),
			fmt.Sprintf("Detach it: ALTER TABLE %s DETACH PARTITION %s;", ident(p.into.Table), ident(p.into.Default.Table)))
	}
	p.cut = policy.After.Before(p.live.Now, j.Location)
	p.edge = p.live.Key.At(p.live.Key.FromInstant(p.cut, j.Location))
	return p, nil
}

// moveAll moves the due partitions, or says what it would do.
func (j *Job) moveAll(ctx context.Context, run *jobs.Run, p *pass, due []parts.Child) {
	moves, err := j.inspect(ctx, p, due)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	for _, m := range moves {
		if ctx.Err() != nil {
			return
		}
		if err := m.refusal(p); err != nil {
			p.errs = append(p.errs, err)
			continue
		}
		if run.DryRun {
			run.Say("-- move %s: rows up to %s", m.child.Table, p.live.Key.Text(m.child.Upper))
			for _, s := range append(m.proof(), m.statements(p)...) {
				run.Say("%s;", s)
			}
			p.moves = append(p.moves, m)
			continue
		}
		moved, err := j.move(ctx, run, p, m)
		if err != nil {
			p.errs = append(p.errs, m.failed(err))
		} else if moved {
			p.moves = append(p.moves, m)
			run.Say("moved %s %s from %s into %s", m.child.Table, p.live.Key.ForValues(m.child.Range), p.live.Table, p.into.Table)
		}
		var busy *pg.BusyError
		if errors.As(err, &busy) {
			return // the next one would meet the same lock
		}
	}
}

// explain says of every partition that is not due why it stays.
func (p *pass) explain(run *jobs.Run, due []parts.Child, loc *time.Location) {
	run.Say("-- rows older than %s (%s before the server's %s) are due", p.cut.In(loc).Format(time.RFC3339), p.policy.After, p.live.Now.In(loc).Format(time.RFC3339))
	for _, c := range p.live.Children {
		why := ""
		switch {
		case slices.ContainsFunc(due, func(d parts.Child) bool { return d.OID == c.OID }):
			continue
		case c.Pending:
			why = fmt.Sprintf("its DETACH CONCURRENTLY was not finished: ALTER TABLE %s DETACH PARTITION %s FINALIZE;", ident(p.live.Table), ident(c.Table))
		case c.Upper.Kind == parts.Max:
			why = "it has no upper bound"
		case c.Lower.Kind == parts.Min:
			why = "it has no lower bound, so it would bar the archive to everything older"
		case c.Upper.Compare(p.edge) > 0:
			why = "it holds rows up to " + p.live.Key.Text(c.Upper)
		}
		run.Say("-- %s stays: %s", c.Table, why)
	}
	if p.live.Default != nil {
		run.Say("-- %s stays: it is the DEFAULT partition", p.live.Default.Table)
	}
}

func (p *pass) result(dry bool, loc *time.Location) jobs.Result {
	cut := p.cut.In(loc).Format(time.RFC3339)
	r := jobs.Result{Outcome: jobs.Noop, Summary: "no partition lies wholly before " + cut, Detail: map[string]any{"cut": cut}}
	if len(p.errs) > 0 {
		r.Summary = "nothing was moved"
	}
	if len(p.moves) > 0 {
		p.report(&r, dry)
	}
	if len(p.errs) > 0 {
		r.Outcome = jobs.Failure
	}
	return r
}

// done says what a run that was stopped has changed; nothing: "".
func (p *pass) done() string {
	var done []string
	for _, m := range p.moves {
		done = append(done, "moved "+m.child.Table.String())
	}
	for _, t := range p.proved {
		if !slices.ContainsFunc(p.moves, func(m move) bool { return m.child.Table.String() == t }) {
			done = append(done, fmt.Sprintf("gave %s the CHECK %s, and did not move it", t, parts.BoundsCheck))
		}
	}
	return strings.Join(done, ", ")
}

// report tells what was moved.
func (p *pass) report(r *jobs.Result, dry bool) {
	var rows, bytes int64
	var list []map[string]any
	about := ""
	for _, m := range p.moves {
		n := max(m.facts.Rows, 0)
		if m.counted != nil {
			n = *m.counted
		} else {
			about = "about "
		}
		rows, bytes = rows+n, bytes+m.facts.Bytes
		list = append(list, map[string]any{"partition": m.child.Table.String(), "rows": n, "rows_exact": m.counted != nil, "bytes": m.facts.Bytes,
			"from": p.live.Key.Text(m.child.Lower), "to": p.live.Key.Text(m.child.Upper)})
	}
	verb, what, lines := "moved", "partitions", "rows"
	if dry {
		verb = "would move"
	} else {
		r.Outcome = jobs.Success
	}
	if len(list) == 1 {
		what = "partition"
	}
	if rows == 1 {
		lines = "row"
	}
	r.Detail["moved"], r.Detail["rows"], r.Detail["bytes"] = list, rows, bytes
	r.Summary = fmt.Sprintf("%s %d %s with %s%d %s into %s, up to %s", verb, len(list), what, about, rows, lines, p.into.Table,
		p.live.Key.Text(p.moves[len(p.moves)-1].child.Upper))
}

func ident(t config.Table) string { return pg.Ident(t.Schema, t.Name) }

// Package archive moves what is old out of a live table into its archive.
//
// Whole partitions change hands: DETACH from the live table and ATTACH to the archive in one transaction, by the real
// bounds in the catalog, so that each row is in exactly one of the two for every reader and after every crash. The
// partition's bounds are proved by a CHECK beforehand, so that nothing is read while locks are held; all locks together
// are waited for no longer than one lock_timeout. The partition's foreign keys go, unless the policy keeps them: an archived row must not
// vanish with a row that it points to. Each move is a row in pgtender.archived_partition, committed with it.
//
// Single rows move in batches, each in a transaction of its own: those of a table that is not partitioned,
// and, with granularity = "row", those of the partition that the cut goes through. They go into a partition of the archive
// with the same bounds; when the whole partition is old, the rest of it follows by rows too, and what is empty then is dropped.
package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	LagBytes int64 // that a standby may be behind while rows are moved; 0: 64 MB
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
			Timeout: 4 * time.Hour, Locks: locks, Order: order(a),
			Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) { return job.Run(ctx, run, a) },
		})
	}
	return tasks
}

// order puts tables that others point to after those.
func order(a config.Archive) int {
	if a.Referenced == config.ReferencedWait {
		return 21
	}
	return 20
}

// Refusal is a move that was not made, in words for the person who must decide. Nothing was moved.
type Refusal struct {
	Table  config.Table // the live one
	What   string
	Advice string
	doing  string // archive, if empty
}

func (r *Refusal) Error() string {
	doing := r.doing
	if doing == "" {
		doing = "archive"
	}
	s := fmt.Sprintf("%s %s: %s", doing, r.Table, r.What)
	if r.Advice != "" {
		s += "\n" + r.Advice
	}
	return s
}

func refusal(t config.Table, what, advice string) *Refusal {
	return &Refusal{Table: t, What: what, Advice: advice}
}

// pass is one run over one policy.
type pass struct {
	policy config.Archive
	live   parts.Set
	into   parts.Set
	cut    time.Time
	edge   parts.Bound   // the cut in the key's terms
	holds  []parts.Range // brought back, and not to be archived again until released
	moves  []move
	sweeps []*sweep // of rows
	// dropped are emptied partitions of the live table, expired those of the archive, later those that a later run may drop.
	dropped  []string
	expired  []string
	later    []string
	pointing []reference // foreign keys to the live table, which the policy bears
	foretold []foretold
	changed  []string // what came back and is not what was archived

	expiredRows int64    // of expired, as the manifest counts them
	proved      []string // partitions that were given a CHECK of their bounds
	errs        []error
}

// Run moves the partitions of the policy's table that are wholly older than the policy says by the server's clock, the oldest first. When none
// is, that is two queries. A partition that cannot be moved does not hinder the others; the error then names every one.
func (j *Job) Run(ctx context.Context, run *jobs.Run, policy config.Archive) (jobs.Result, error) {
	p, err := j.open(ctx, policy)
	if err != nil {
		return jobs.Result{Outcome: jobs.Failure}, err
	}
	if policy.Partitioned {
		j.runPartitions(ctx, run, p)
	} else if err := j.runPlain(ctx, &rowsRun{run}, p); err != nil {
		p.errs = append(p.errs, err)
	}
	if !run.DryRun && ctx.Err() == nil {
		if err := j.count(ctx, run, p); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	p.errs = parts.Stop(ctx, p.errs, p.done())
	return p.result(run.DryRun, j.Location), errors.Join(p.errs...)
}

// runPartitions moves what is due of a partitioned table: whole partitions, then the old rows of the one that the cut goes
// through if the policy says so.
func (j *Job) runPartitions(ctx context.Context, run *jobs.Run, p *pass) {
	if !run.DryRun {
		if err := j.mend(ctx, p); err != nil {
			p.errs = append(p.errs, err)
			return
		}
	}
	due := slices.DeleteFunc(p.live.Due(p.cut, j.Location), func(c parts.Child) bool { return p.held(c.Range) })
	if run.DryRun {
		p.explain(run, due, j.Location)
	}
	straddling := p.straddling()
	if p.policy.Granularity != config.ByRow {
		straddling = nil
	}
	if len(due) > 0 || straddling != nil {
		if err := j.alike(ctx, p); err != nil {
			p.errs = append(p.errs, err)
			due, straddling = nil, nil
		}
	}
	due = j.clearUnused(ctx, run, p, due)
	rows := &rowsRun{run}
	byRows := func(c parts.Child) bool { return len(p.pointing) > 0 || p.landing(c) != nil }
	var whole []parts.Child
	for _, c := range due {
		if !byRows(c) {
			whole = append(whole, c)
		}
	}
	if len(whole) > 0 {
		j.moveAll(ctx, run, p, whole)
	}
	for _, c := range due {
		if byRows(c) && ctx.Err() == nil {
			if err := j.moveRows(ctx, rows, p, c, true); err != nil {
				p.errs = append(p.errs, err)
			}
		}
	}
	if straddling != nil && ctx.Err() == nil {
		if err := j.moveRows(ctx, rows, p, *straddling, false); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	if !p.policy.DropAfter.IsZero() && ctx.Err() == nil {
		j.expire(ctx, run, p)
		if run.DryRun {
			j.foretellExpiry(run, p)
		}
	}
}

// refuser words what cannot be archived at all.
func refuser(policy config.Archive) func(what, advice string) (*pass, error) {
	return func(what, advice string) (*pass, error) {
		if policy.Pos.File != "" {
			what += fmt.Sprintf(" (the policy is at %s)", policy.Pos)
		}
		return nil, &Refusal{Table: policy.Table, What: what, Advice: advice}
	}
}

// open reads both tables and refuses what cannot be archived at all.
func (j *Job) open(ctx context.Context, policy config.Archive) (*pass, error) {
	if !policy.Partitioned {
		return j.openPlain(ctx, policy)
	}
	refuse := refuser(policy)
	sets, err := parts.Read(ctx, j.Pool, []config.Table{policy.Table, policy.Into})
	if err != nil {
		return nil, err
	}
	p := &pass{policy: policy, live: sets[0], into: sets[len(sets)-1]}
	switch {
	case p.live.Problem != nil:
		return refuse(p.live.Problem.What, p.live.Problem.Advice)
	case p.live.Table != policy.Table:
		return refuse(fmt.Sprintf("it is not partitioned by time itself, but its branch %s is, and an archive has no branches", p.live.Table), "Give each branch a partition block of its own, with the archive block in it, in place of this table's; or divide the table by time first and each month further below (RANGE, then LIST or HASH): then whole months move with all that is below them.")
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
	return p, j.settle(ctx, p)
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
		case p.held(c.Range) && c.Upper.Compare(p.edge) <= 0:
			why = fmt.Sprintf("it was restored and is held; `pgtender archive release --table %s --from %s --to %s` lets it go again", p.live.Table.Arg(),
				pg.Word(p.live.Key.Text(c.Lower)), pg.Word(p.live.Key.Text(c.Upper)))
		case c.Pending:
			why = fmt.Sprintf("its DETACH CONCURRENTLY was not finished: ALTER TABLE %s DETACH PARTITION %s FINALIZE;", ident(p.live.Table), ident(c.Table))
		case c.Upper.Kind == parts.Max:
			why = "it has no upper bound"
		case c.Lower.Kind == parts.Min:
			why = "it has no lower bound, so it would bar the archive to everything older"
		case p.policy.Granularity == config.ByRow && c.Lower.Compare(p.edge) < 0 && !p.held(c.Range):
			why = "it holds rows up to " + p.live.Key.Text(c.Upper) + "; its old rows are moved one by one"
		case c.Upper.Compare(p.edge) > 0:
			why = "it holds rows up to " + p.live.Key.Text(c.Upper)
		}
		run.Say("-- %s stays: %s", c.Table, why)
	}
	if p.live.Default != nil {
		run.Say("-- %s stays: it is the DEFAULT partition", p.live.Default.Table)
	}
}

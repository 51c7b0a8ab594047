package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

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
	forget(names)
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

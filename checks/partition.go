package checks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
)

const day = 24 * time.Hour

// length is the shortest that an interval of the unit lasts.
func length(u config.Unit) time.Duration {
	switch u {
	case config.Week:
		return 7 * day
	case config.Month:
		return 28 * day
	case config.Quarter:
		return 90 * day
	case config.Year:
		return 365 * day
	}
	return 23 * time.Hour // a day on which clocks go forward
}

// kept is one partitioned table, or a branch of it, with the policy that keeps it.
type kept struct {
	*parts.Set
	policy config.Partition
}

func (k kept) labels() []string { return []string{k.Table.Schema, k.Table.Name} }

// readings reads the partitioned tables of all policies, once for all checks of one transaction: it is the dearest reading of a round.
type readings struct {
	env *config.Env

	mu   sync.Mutex
	tx   pgx.Tx // that sets were read in
	sets []parts.Set
}

// bundle is the name under which the checks that share a reading run in one transaction.
const bundle = "partitions"

// read returns one Set for each table of a partition policy or of an archive policy within one, or for each branch.
func (r *readings) read(ctx context.Context, tx pgx.Tx) ([]parts.Set, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tx == tx {
		return r.sets, nil
	}
	var tables []config.Table
	for _, p := range r.env.Partitions {
		tables = append(tables, p.Table)
	}
	for _, a := range r.env.Archives {
		if a.Partitioned && !slices.Contains(tables, a.Table) {
			tables = append(tables, a.Table)
		}
	}
	sets, err := parts.Read(ctx, tx, tables)
	if err != nil {
		return nil, err
	}
	r.tx, r.sets = tx, sets
	return sets, nil
}

// partitionCheck is a check of the tables that partition policies keep: one finding for each, or for each of its branches.
func partitionCheck(name, unit string, r *readings, judge func(ctx context.Context, tx pgx.Tx, all []kept) ([]Finding, error)) Check {
	return Check{Name: name, Group: "partitions", Unit: unit, Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: bundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sets, err := r.read(ctx, tx)
			if err != nil {
				return nil, err
			}
			var all []kept
			var problems []Finding
			for i := range sets {
				s := &sets[i]
				p := slices.IndexFunc(r.env.Partitions, func(p config.Partition) bool { return p.Table == s.Asked })
				switch {
				case p < 0:
				case s.Problem != nil:
					problems = append(problems, Finding{Object: s.Asked.String(), Status: Unknown, Message: s.Problem.What, Remedy: s.Problem.Advice})
				default:
					all = append(all, kept{s, r.env.Partitions[p]})
				}
			}
			findings, err := judge(ctx, tx, all)
			return append(problems, findings...), err
		}}
}

// each is a judge that looks at one table at a time.
func each(judge func(k kept) Finding) func(context.Context, pgx.Tx, []kept) ([]Finding, error) {
	return func(_ context.Context, _ pgx.Tx, all []kept) ([]Finding, error) {
		out := make([]Finding, len(all))
		for i, k := range all {
			out[i] = judge(k)
			out[i].Object = k.Table.String()
		}
		return out, nil
	}
}

package checks

import (
	"context"
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

// partitionCheck is a check of the tables that partition policies keep: one finding for each, or for each of its branches.
func partitionCheck(name, unit string, env *config.Env, judge func(ctx context.Context, tx pgx.Tx, all []kept) ([]Finding, error)) Check {
	return Check{Name: name, Group: "partitions", Unit: unit, Every: 30 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			policies := map[config.Table]config.Partition{}
			tables := make([]config.Table, len(env.Partitions))
			for i, p := range env.Partitions {
				tables[i], policies[p.Table] = p.Table, p
			}
			sets, err := parts.Read(ctx, tx, tables)
			if err != nil {
				return nil, err
			}
			var all []kept
			var problems []Finding
			for i := range sets {
				s := &sets[i]
				if s.Problem != nil {
					problems = append(problems, Finding{Object: s.Asked.String(), Status: Unknown, Message: s.Problem.What, Remedy: s.Problem.Advice})
					continue
				}
				all = append(all, kept{s, policies[s.Asked]})
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

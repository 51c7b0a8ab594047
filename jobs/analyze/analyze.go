// Package analyze keeps the statistics of partitioned tables fresh: autovacuum analyses their leaves, but never
// the parent, whose statistics the planner needs for whatever reads more than one partition.
//
// A parent is analysed when enough rows have changed in its leaves since the last time, by autovacuum's own formula
// (autovacuum_analyze_threshold + autovacuum_analyze_scale_factor × rows). The leaves' counters at that time are
// kept in pgtender.analyze_state, because autovacuum resets the ones it works with.
package analyze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

const (
	// Name is the job's.
	Name = "analyze"
	// Spec is the schedule on which the job looks.
	Spec = "@hourly"
	// Order places the job after partition and archive when they are due together.
	Order = 40
	// timeout of one run, over all tables.
	timeout = 2 * time.Hour
)

// patience is shorter than the other jobs': the next run is at most an hour away.
var patience = pg.Patience{LockTimeout: 100 * time.Millisecond, Attempts: 20, Pause: 100 * time.Millisecond, MaxPause: 5 * time.Second}

// Tables returns the tables of an environment whose statistics the job keeps: those with a partition policy and the
// archives, which may be partitioned.
func Tables(env *config.Env) []config.Table {
	var all []config.Table
	for _, p := range env.Partitions {
		all = append(all, p.Table)
	}
	for _, a := range env.Archives {
		all = append(all, a.Into)
	}
	slices.SortFunc(all, func(a, b config.Table) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}

// New returns the one task for all tables. Those that are not partitioned are left to autovacuum, which
// analyses them; one that does not exist, or may not be analysed, is an error, though not for the others.
func New(pool *pgxpool.Pool, tables []config.Table, schedule cron.Schedule, spec string) jobs.Task {
	return jobs.Task{
		Job: Name, Schedule: schedule, Spec: spec, Order: Order, Timeout: timeout, Locks: []string{Name},
		Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
			return execute(ctx, pool, tables, run)
		},
	}
}

func execute(ctx context.Context, pool *pgxpool.Pool, tables []config.Table, run *jobs.Run) (jobs.Result, error) {
	server, found, err := read(ctx, pool, tables)
	if err != nil {
		return jobs.Result{}, err
	}
	var done []string
	var errs []error
	detail := map[string]any{}
	fresh := 0
	for _, p := range found {
		v := server.judge(p)
		switch {
		case p.oid == 0:
			errs = append(errs, fmt.Errorf("analyze %s: there is no such table; `pgtender plan` shows what is missing", p.name))
		case !p.partitioned:
		case v.due:
			run.Say("%s;  -- %s", p.statement(), v.why)
			if run.DryRun {
				continue
			}
			if err := p.analyze(ctx, pool); err != nil {
				errs = append(errs, fmt.Errorf("analyze %s: %w", p.name, err))
				continue
			}
			done = append(done, p.name.String())
			detail[p.name.String()] = map[string]any{"changed": v.changed, "rows": v.rows, "why": v.why}
		default:
			fresh++
			if v.note && !run.DryRun {
				errs = append(errs, p.note(ctx, pool))
			}
		}
	}
	return report(done, fresh, detail), errors.Join(errs...)
}

func report(done []string, fresh int, detail map[string]any) jobs.Result {
	if len(done) == 0 {
		return jobs.Result{Outcome: jobs.Noop, Summary: fmt.Sprintf("statistics of %d partitioned tables are fresh", fresh)}
	}
	return jobs.Result{Outcome: jobs.Success, Summary: "analysed " + strings.Join(done, ", "), Detail: detail}
}

// statement leaves out the leaves: autovacuum keeps theirs.
func (p parent) statement() string { return "ANALYZE ONLY " + pg.Ident(p.name.Schema, p.name.Name) }

// analyze collects the statistics and notes the leaves' counters from before, in one transaction. Without the
// privilege the server would only warn, and do nothing.
func (p parent) analyze(ctx context.Context, pool *pgxpool.Pool) error {
	if !p.may {
		return fmt.Errorf("role %s may not; as the table's owner, run: GRANT MAINTAIN ON %s TO %s;",
			p.role, pg.Ident(p.name.Schema, p.name.Name), pg.Ident(p.role))
	}
	return patience.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, p.statement()); err != nil {
			return err
		}
		return p.keep(ctx, tx, nil)
	})
}

// note takes over an ANALYZE by somebody else: what changed before it no longer counts.
func (p parent) note(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return p.keep(ctx, tx, p.analyzed) })
}

func (p parent) keep(ctx context.Context, tx pgx.Tx, at *time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO pgtender.analyze_state (table_schema, table_name, table_oid, analyzed_at, leaves)
		VALUES ($1, $2, $3, coalesce($4, clock_timestamp()), $5)
		ON CONFLICT (table_schema, table_name) DO UPDATE
		SET table_oid = excluded.table_oid, analyzed_at = excluded.analyzed_at, leaves = excluded.leaves`,
		p.name.Schema, p.name.Name, p.oid, at, p.leaves)
	if err != nil {
		return fmt.Errorf("note that %s was analysed: %w", p.name, err)
	}
	return nil
}

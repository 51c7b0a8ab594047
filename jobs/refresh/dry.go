package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// explain says what a run would do and why, and changes nothing.
func (r *refresher) explain(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run) (jobs.Result, error) {
	var result jobs.Result
	var v *view
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", r.patience.LockTimeout.Milliseconds())); err != nil {
			return err
		}
		f, err := readFamily(ctx, tx, r.views)
		if err != nil {
			return err
		}
		for _, below := range f.unfilled(r.policy.View) {
			run.Say("REFRESH MATERIALIZED VIEW %s;", pg.Ident(below.Schema, below.Name))
			run.Say("-- first, because this view stands on it and it was never populated")
		}
		var w way
		if w, v, err = r.choose(ctx, tx); err != nil {
			return err
		}
		run.Say("%s;", w.sql)
		if w.concurrently {
			run.Say("-- concurrently, by its unique index %s: readers do not wait; EXCLUSIVE on the view, so a second refresh, VACUUM and ANALYZE of it do", v.UsableIndex)
		} else {
			run.Say("-- plainly, because %s: ACCESS EXCLUSIVE, so readers of the view wait", w.reason)
		}
		run.Say("-- about %.0f rows, %d bytes", max(v.Rows, 0), v.Bytes)
		result = jobs.Result{Outcome: jobs.Noop, Summary: "would run " + w.sql, Detail: map[string]any{"concurrently": w.concurrently}}
		return nil
	})
	if err == nil && r.policy.When == config.RefreshAuto {
		err = r.explainAuto(ctx, conn, v, run, &result)
	}
	if err != nil {
		return jobs.Result{}, r.advise(ctx, err)
	}
	return result, nil
}

// explainAuto says whether the refresh would be skipped, and if it cannot ever be, why.
func (r *refresher) explainAuto(ctx context.Context, conn *pgxpool.Conn, v *view, run *jobs.Run, result *jobs.Result) error {
	m, err := recall(ctx, conn, r.policy.View)
	if err != nil {
		return err
	}
	quick := *r
	quick.doubt = min(r.doubt, time.Second) // a run that may save more than that waits longer
	verdict, err := quick.judge(ctx, conn, v, m, func(string, ...any) {})
	if err != nil {
		return err
	}
	if verdict.skip {
		run.Say("-- when = \"auto\": skipped now, because that is proved needless: %s", verdict.reason)
		result.Summary = "would skip: " + verdict.reason
		return nil
	}
	run.Say("-- when = \"auto\": not skipped, because %s", verdict.reason)
	_, cannot, err := r.before(ctx, conn, v)
	if err != nil {
		return err
	}
	if cannot != "" {
		run.Say("-- nor can a later one be proved needless: %s", cannot)
	}
	result.Summary += "; not skipped, because " + verdict.reason
	return nil
}

// Package refresh keeps materialised views fresh: concurrently, so that readers never wait, plainly only when a view was
// never populated or its policy says so; each refresh and its ledger row are one transaction.
package refresh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// JobName is the job's name in the ledger, the metrics and on the command line.
const JobName = "refresh"

// baseOrder is the place of a view that stands on no other view of a policy, among runs due at the same moment.
const baseOrder = 30

// Options are what the tasks work with.
type Options struct {
	Pool *pgxpool.Pool
	// Depths are from the function of that name, read after the schema is in place. Without them every view counts as
	// standing on tables alone.
	Depths map[config.Table]int
	// Patience with locks; zero: pg.Gentle.
	Patience pg.Patience
}

// Tasks returns one task for each refresh policy. A view on views has a higher Order than those it stands on, so that
// of the runs due at one moment the parents come first.
func Tasks(env *config.Env, o Options) []jobs.Task {
	if o.Patience.Attempts == 0 {
		o.Patience = pg.Gentle
	}
	tasks := make([]jobs.Task, 0, len(env.Refreshes))
	for _, policy := range env.Refreshes {
		r := &refresher{policy: policy, views: viewsOf(env), pool: o.Pool, patience: o.Patience}
		tasks = append(tasks, jobs.Task{
			Job: JobName, Target: policy.View.String(), Schedule: policy.Schedule, Spec: policy.Schedule.Text,
			Locks: []string{policy.View.String()}, Order: baseOrder + o.Depths[policy.View], Run: r.run,
		})
	}
	slices.SortStableFunc(tasks, func(a, b jobs.Task) int {
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.Target, b.Target)
	})
	return tasks
}

// refresher is the work on one view.
type refresher struct {
	policy   config.Refresh
	views    []config.Table // of all policies
	pool     *pgxpool.Pool
	patience pg.Patience
}

// way is how one refresh is done, and why so.
type way struct {
	sql          string
	concurrently bool
	reason       string
}

func (r *refresher) run(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return jobs.Result{}, fmt.Errorf("refresh %s: %w", r.policy.View, pg.Explain(err))
	}
	defer conn.Release()
	if run.DryRun {
		return r.explain(ctx, conn, run)
	}
	before := walBytes(ctx, conn)
	var result jobs.Result
	patience := r.patience
	patience.Waited = func(attempt int, _ error) {
		run.Say("%s is locked by another session; attempt %d of %d", r.policy.View, attempt, patience.Attempts)
	}
	err = patience.InTx(ctx, conn, func(tx pgx.Tx) error {
		filled, err := r.fillBelow(ctx, tx, run)
		if err != nil {
			return err
		}
		w, v, err := r.choose(ctx, tx)
		if err != nil {
			return err
		}
		if result, err = r.refresh(ctx, tx, w, v); err != nil {
			return err
		}
		if len(filled) > 0 {
			result.Summary = "first filled " + strings.Join(filled, ", ") + ", which it stands on; then " + result.Summary
			result.Detail["filled_first"] = filled
		}
		if err := r.remember(ctx, tx, v, run.ID, result); err != nil {
			return err
		}
		return run.Commit(ctx, tx, result)
	})
	if err != nil {
		return jobs.Result{}, r.advise(ctx, err)
	}
	// A session's own WAL is counted when its transaction has ended, so this figure joins the result after the commit. It may be
	// missing; that is no reason to call the refresh a failure.
	if after := walBytes(ctx, conn); before >= 0 && after >= before {
		result.Detail["wal_bytes"] = after - before
		_, _ = conn.Exec(ctx, "UPDATE pgtender.refresh_state SET detail = detail || jsonb_build_object('wal_bytes', $1::bigint) WHERE run_id = $2 AND view_schema = $3 AND view_name = $4",
			after-before, run.ID, r.policy.View.Schema, r.policy.View.Name)
	}
	return result, nil
}

// fillBelow fills the views of policies that this one stands on and that were never populated: without their contents it
// cannot have any. It is plain, as nobody can read them yet, and part of this view's transaction.
func (r *refresher) fillBelow(ctx context.Context, tx pgx.Tx, run *jobs.Run) (filled []string, err error) {
	f, err := readFamily(ctx, tx, r.views)
	if err != nil {
		return nil, err
	}
	for _, below := range f.unfilled(r.policy.View) {
		other := &refresher{policy: config.Refresh{View: below}}
		w, v, err := other.choose(ctx, tx)
		if err == nil {
			var result jobs.Result
			if result, err = other.refresh(ctx, tx, w, v); err == nil {
				err = other.remember(ctx, tx, v, run.ID, result)
			}
		}
		if err != nil {
			return nil, other.advise(ctx, err) // it names that view
		}
		filled = append(filled, below.String())
	}
	return filled, nil
}

// choose looks at the view and decides how to refresh it, or says why it cannot be.
func (r *refresher) choose(ctx context.Context, tx pgx.Tx) (way, *view, error) {
	v, err := look(ctx, tx, r.policy.View)
	if err != nil {
		return way{}, nil, err
	}
	if err := v.refusal(r.policy); err != nil {
		return way{}, nil, err
	}
	name := pg.Ident(r.policy.View.Schema, r.policy.View.Name)
	plain := way{sql: "REFRESH MATERIALIZED VIEW " + name}
	switch {
	case !v.Populated:
		plain.reason = "it was never populated"
		return plain, v, nil
	case !r.policy.Concurrently:
		plain.reason = "its policy says concurrently = false"
		return plain, v, nil
	case v.UsableIndex == "":
		return way{}, nil, r.noKey(ctx, tx, v)
	}
	return way{sql: "REFRESH MATERIALIZED VIEW CONCURRENTLY " + name, concurrently: true}, v, nil
}

// refresh does it and counts what it changed.
func (r *refresher) refresh(ctx context.Context, tx pgx.Tx, w way, v *view) (jobs.Result, error) {
	before, err := counted(ctx, tx, v.OID)
	if err != nil {
		return jobs.Result{}, err
	}
	start := time.Now()
	if _, err := tx.Exec(ctx, w.sql); err != nil {
		return jobs.Result{}, err
	}
	took := time.Since(start)
	after, err := counted(ctx, tx, v.OID)
	if err != nil {
		return jobs.Result{}, err
	}
	in, out := after.inserted-before.inserted, after.deleted-before.deleted
	result := jobs.Result{
		Outcome: jobs.Success,
		Detail: map[string]any{
			"concurrently": w.concurrently, "duration_seconds": took.Seconds(), "rows_inserted": in,
		},
	}
	if !w.concurrently {
		result.Summary = fmt.Sprintf("refreshed plainly in %s, because %s: %s", round(took), w.reason, rowCount(in))
		result.Detail["reason"] = w.reason
		if v.UsableIndex == "" && r.policy.Concurrently {
			result.Summary += "; it has no usable unique index, so the next refresh will be refused"
		}
	} else {
		result.Detail["rows_deleted"] = out
		if in+out == 0 {
			result.Outcome = jobs.Noop
		}
		result.Summary = fmt.Sprintf("refreshed concurrently in %s: %s written, %d removed", round(took), rowCount(in), out)
	}
	if r.policy.When == config.RefreshAuto {
		const why = "this version does not yet prove a refresh needless"
		result.Summary = "auto: " + result.Summary + " (refreshed, because " + why + ")"
		result.Detail["auto"] = why
	}
	return result, nil
}

// rowCount is 1 row, or 2 rows.
func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// remember notes when the view was last fresh: it shows the data of the transaction's start, or newer.
func (r *refresher) remember(ctx context.Context, tx pgx.Tx, v *view, runID int64, result jobs.Result) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO pgtender.refresh_state (view_schema, view_name, view_oid, refreshed_at, checked_at, run_id, detail)
		VALUES ($1, $2, $3, now(), now(), $4, $5)
		ON CONFLICT (view_schema, view_name) DO UPDATE
		   SET view_oid = excluded.view_oid, fingerprint = NULL, counted_at = NULL, refreshed_at = excluded.refreshed_at,
		       checked_at = excluded.checked_at, run_id = excluded.run_id, detail = excluded.detail`,
		r.policy.View.Schema, r.policy.View.Name, v.OID, runID, result.Detail)
	return err
}

// explain says what a run would do and why, and changes nothing.
func (r *refresher) explain(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run) (jobs.Result, error) {
	var result jobs.Result
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
		w, v, err := r.choose(ctx, tx)
		if err != nil {
			return err
		}
		run.Say("%s;", w.sql)
		if w.concurrently {
			run.Say("-- concurrently, by its unique index %s: readers do not wait; EXCLUSIVE on the view, so a second refresh, VACUUM and ANALYZE of it do", v.UsableIndex)
		} else {
			run.Say("-- plainly, because %s: ACCESS EXCLUSIVE, so readers of the view wait", w.reason)
		}
		run.Say("-- about %.0f rows, %d bytes", max(v.Rows, 0), v.Bytes)
		if r.policy.When == config.RefreshAuto {
			run.Say("-- when = \"auto\": refreshed every time, because this version does not yet prove a refresh needless")
		}
		result = jobs.Result{Outcome: jobs.Noop, Summary: "would run " + w.sql, Detail: map[string]any{"concurrently": w.concurrently}}
		return nil
	})
	if err != nil {
		return jobs.Result{}, r.advise(ctx, err)
	}
	return result, nil
}

// counts are rows written and removed, as this session's statistics count them before they are flushed.
type counts struct{ inserted, deleted int64 }

func counted(ctx context.Context, tx pgx.Tx, oid uint32) (counts, error) {
	var c counts
	err := tx.QueryRow(ctx, "SELECT pg_stat_get_xact_tuples_inserted($1), pg_stat_get_xact_tuples_deleted($1)", oid).
		Scan(&c.inserted, &c.deleted)
	return c, err
}

// walBytes is the WAL this session has written since it began, or -1 when that is not to be had.
func walBytes(ctx context.Context, conn *pgxpool.Conn) int64 {
	var n int64
	if _, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
		return -1
	}
	if err := conn.QueryRow(ctx, "SELECT wal_bytes::bigint FROM pg_stat_get_backend_wal(pg_backend_pid())").Scan(&n); err != nil {
		return -1
	}
	return n
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

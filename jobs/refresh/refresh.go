package refresh

import (
	"context"
	"errors"
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
	// Doubt is the longest wait for sessions that may have uncounted changes, when nothing else speaks for a refresh; a view whose
	// refresh is cheap waits less. Zero: 20 s.
	Doubt time.Duration
}

// Tasks returns one task for each refresh policy. A view on views has a higher Order than those it stands on, so that
// of the runs due at one moment the parents come first.
func Tasks(env *config.Env, o Options) []jobs.Task {
	if o.Patience.Attempts == 0 {
		o.Patience = pg.Gentle
	}
	if o.Doubt == 0 {
		o.Doubt = 20 * time.Second
	}
	tasks := make([]jobs.Task, 0, len(env.Views()))
	for _, policy := range env.Views() {
		r := &refresher{policy: policy, views: viewsOf(env), pool: o.Pool, patience: o.Patience, doubt: o.Doubt, zone: env.Daemon.Location}
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
	doubt    time.Duration
	zone     *time.Location // of the schedule; nil: UTC
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
	result, err := r.do(ctx, conn, run)
	if err != nil {
		return jobs.Result{}, r.advise(ctx, err)
	}
	return result, nil
}

// do passes over the refresh when it is proved needless, else makes it.
func (r *refresher) do(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run) (jobs.Result, error) {
	v, err := look(ctx, conn, r.policy.View)
	if errors.Is(err, errNoView) && r.policy.Covered {
		return jobs.Result{Outcome: jobs.Noop, Summary: `it is gone, so refresh "*" no longer covers it`}, nil
	}
	if err != nil {
		return jobs.Result{}, err
	}
	if err := v.refusal(r.policy); err != nil {
		return jobs.Result{}, err
	}
	m, err := recall(ctx, conn, r.policy.View)
	if err != nil {
		return jobs.Result{}, err
	}
	p := &preparation{memory: m}
	if r.policy.When == config.RefreshAuto {
		verdict, err := r.judge(ctx, conn, v, m, run.Say)
		if err != nil {
			return jobs.Result{}, err
		}
		if verdict.skip {
			return r.skip(ctx, conn, run, verdict)
		}
		p.why = verdict.reason
		if p.basis, p.cannot, err = r.before(ctx, conn, v); err != nil {
			return jobs.Result{}, err
		}
	}
	return r.make(ctx, conn, run, p)
}

// skip notes that the view is fresh. The view and what it reads were only looked at.
func (r *refresher) skip(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run, verdict verdict) (jobs.Result, error) {
	result := jobs.Result{Outcome: jobs.Skipped, Summary: "proved needless: " + verdict.reason,
		Detail: map[string]any{"auto": verdict.reason, "refreshed_at": verdict.since}}
	err := r.patience.InTx(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE pgtender.refresh_state SET checked_at = now() WHERE view_schema = $1 AND view_name = $2",
			r.policy.View.Schema, r.policy.View.Name)
		if err != nil {
			return err
		}
		return run.Commit(ctx, tx, result)
	})
	if err == nil {
		_ = pg.Count(ctx, conn.Conn()) // so that the views on this one can tell at once; the pool does it again
	}
	return result, err
}

// preparation is what was learned before a refresh.
type preparation struct {
	memory *memory // nil: nothing
	why    string  // auto: why it is made
	basis  *basis  // auto: what the view is about to be made of; nil for the reason in cannot
	cannot string
}

// settings are those of a refresh, whatever the role's or the database's are. With an older snapshot than its lock, a concurrent one
// would compare with rows that are gone. The second is for the statements that the server itself makes (matview.c of PostgreSQL 18): they
// do not expect the quotes.
var settings = []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL quote_all_identifiers = off"}

// make refreshes the view and its ledger row in one transaction, then sees to the figures that show only after the commit, and to
// dead rows.
func (r *refresher) make(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run, p *preparation) (jobs.Result, error) {
	var result jobs.Result
	patience := r.patience
	patience.Waited = func(attempt int, _ error) {
		run.Say("%s is locked by another session; attempt %d of %d", r.policy.View, attempt, patience.Attempts)
	}
	before := measure(ctx, conn)
	if err := pg.Count(ctx, conn.Conn()); err != nil {
		return result, err
	}
	var oid uint32
	err := patience.InTx(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range settings {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, pg.HoldFirst()); err != nil {
			return err
		}
		filled, err := r.fillBelow(ctx, tx, run)
		if err != nil {
			return err
		}
		w, v, err := r.choose(ctx, tx)
		if err != nil {
			return err
		}
		if result, err = r.refresh(ctx, tx, w, v, p); err != nil {
			return err
		}
		oid = v.OID
		if len(filled) > 0 {
			result.Summary = "first filled " + strings.Join(filled, ", ") + ", which it stands on; then " + result.Summary
			result.Detail["filled_first"] = filled
		}
		fingerprint, err := r.confirm(ctx, tx, v, p, result)
		if err != nil {
			return err
		}
		if err := r.remember(ctx, tx, v, run.ID, fingerprint, result); err != nil {
			return err
		}
		return run.Commit(ctx, tx, result)
	})
	if err != nil {
		return jobs.Result{}, err
	}
	r.after(ctx, conn, run, oid, before, p, result)
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
			if result, err = other.refresh(ctx, tx, w, v, &preparation{}); err == nil {
				err = other.remember(ctx, tx, v, run.ID, nil, result)
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
func (r *refresher) refresh(ctx context.Context, tx pgx.Tx, w way, v *view, p *preparation) (jobs.Result, error) {
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
		result.Summary = fmt.Sprintf("refreshed concurrently in %s: %s written, %d removed", round(took), rowCount(in), out) + mostlyChanged(v, in, p, result.Detail)
	}
	if p.why != "" {
		result.Summary += "; not skipped, because " + p.why
		result.Detail["auto"] = p.why
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

// confirm returns the fingerprint to be stored, or nil when what the view stands on was changed between the reading and the refresh. Only
// then could partitions have come and gone unnoticed: now the refresh holds a lock on each of its tables.
func (r *refresher) confirm(ctx context.Context, tx pgx.Tx, v *view, p *preparation, result jobs.Result) (*string, error) {
	if p.basis == nil {
		if p.cannot != "" {
			result.Detail["no_proof"] = p.cannot
		}
		return nil, nil
	}
	now, err := readBasis(ctx, tx, p.basis.closure())
	if err != nil {
		return nil, err
	}
	if !p.basis.sameCatalog(now) || !p.basis.stands(v.OID) {
		result.Detail["no_proof"] = "what it stands on was changed while its last refresh began"
		return nil, nil
	}
	stored := *p.basis
	stored.View = now.View // as this refresh leaves it, which holds its lock until it commits
	text, err := stored.text()
	return &text, err
}

// remember notes when the view was last fresh: it shows the data of the transaction's start, or newer.
func (r *refresher) remember(ctx context.Context, tx pgx.Tx, v *view, runID int64, fingerprint *string, result jobs.Result) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO pgtender.refresh_state (view_schema, view_name, view_oid, fingerprint, counted_at, refreshed_at, checked_at, run_id, detail)
		VALUES ($1, $2, $3, $6, CASE WHEN $6::text IS NOT NULL THEN now() END, now(), now(), $4, $5)
		ON CONFLICT (view_schema, view_name) DO UPDATE
		   SET view_oid = excluded.view_oid, fingerprint = excluded.fingerprint, counted_at = excluded.counted_at, refreshed_at = excluded.refreshed_at,
		       checked_at = excluded.checked_at, run_id = excluded.run_id, detail = excluded.detail`,
		r.policy.View.Schema, r.policy.View.Name, v.OID, runID, result.Detail, fingerprint)
	return err
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

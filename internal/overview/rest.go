package overview

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Run is one run that has ended, as the ledger has it.
type Run struct {
	Outcome  string    `json:"outcome"` // success, noop, skipped, failure
	Trigger  string    `json:"trigger"`
	Started  time.Time `json:"started_at"` // the server's clock
	Finished time.Time `json:"finished_at"`
	Text     string    `json:"text,omitempty"` // the error, or else the summary; cut
}

const (
	runsEach = 24   // of one task
	runsAll  = 6000 // of all tasks together
	textMax  = 160  // characters of a run's text
	lastMax  = 20   // changes of settings, and applied plans
)

// runs reads the last runs of each task.
func runs(ctx context.Context, q pg.Querier, tasks []Task) (map[Task][]Run, error) {
	out := map[Task][]Run{}
	if len(tasks) == 0 {
		return out, nil
	}
	jobs, targets := make([]string, len(tasks)), make([]string, len(tasks))
	for i, t := range tasks {
		jobs[i], targets[i] = t.Job, t.Target
	}
	rows, err := q.Query(ctx, `
		SELECT t.job, t.target, r.outcome, r.trigger, r.started_at, r.finished_at, left(coalesce(nullif(r.error, ''), r.summary), $4)
		FROM unnest($1::text[], $2::text[]) AS t (job, target)
		CROSS JOIN LATERAL (SELECT * FROM pgtender.run r WHERE r.job = t.job AND r.target = t.target AND r.outcome IS NOT NULL ORDER BY r.id DESC LIMIT $3) r
		ORDER BY t.job, t.target, r.id DESC`, jobs, targets, min(runsEach, max(runsAll/len(tasks), 4)), textMax)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", pg.Explain(err))
	}
	var t Task
	var r Run
	_, err = pgx.ForEachRow(rows, []any{&t.Job, &t.Target, &r.Outcome, &r.Trigger, &r.Started, &r.Finished, &r.Text}, func() error {
		out[t] = append(out[t], r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return out, nil
}

// View is one materialised view of a refresh policy.
type View struct {
	View      config.Table
	There     bool      // it exists
	Populated bool      // it can be read
	Same      bool      // it is the one that was refreshed last, not one made anew since
	Refreshed time.Time // zero: not by pgtender
	Checked   time.Time // when it was last proved fresh, or refreshed; zero: never
	Rows      int64     // the planner's estimate; -1: never analysed
	Bytes     int64     // with indexes and TOAST, as of the last VACUUM or ANALYZE
}

// views reads the views of all refresh policies, in their order.
func views(ctx context.Context, q pg.Querier, env *config.Env) ([]View, error) {
	var schemas, names []string
	for _, r := range env.Views() {
		schemas, names = append(schemas, r.View.Schema), append(names, r.View.Name)
	}
	rows, err := q.Query(ctx, `
		SELECT w.nspname, w.relname, c.oid IS NOT NULL, coalesce(c.relispopulated, false), coalesce(s.view_oid = c.oid, false), s.refreshed_at, s.checked_at,
		       coalesce(c.reltuples, -1)::bigint,
		       (coalesce(c.relpages, 0) + coalesce(t.relpages, 0) + coalesce((SELECT sum(i.relpages) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
		         WHERE x.indrelid = c.oid), 0))::bigint * current_setting('block_size')::bigint
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
		LEFT JOIN pg_namespace n ON n.nspname = w.nspname
		LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
		LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
		LEFT JOIN pgtender.refresh_state s ON s.view_schema = w.nspname AND s.view_name = w.relname
		ORDER BY w.i`, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("read the materialised views: %w", err)
	}
	var out []View
	var v View
	var refreshed, checked *time.Time
	_, err = pgx.ForEachRow(rows, []any{&v.View.Schema, &v.View.Name, &v.There, &v.Populated, &v.Same, &refreshed, &checked, &v.Rows, &v.Bytes}, func() error {
		v.Refreshed, v.Checked = orZero(refreshed), orZero(checked)
		out = append(out, v)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the materialised views: %w", err)
	}
	return out, nil
}

// Setting is one I/O setting as the server has it.
type Setting struct {
	Name    string
	Value   string // in force, as SHOW prints it; of io_combine_limit what io_max_combine_limit leaves of it
	Source  string // where it comes from, as pg_settings says
	Context string // what it takes to change it, as pg_settings says
	Pending bool   // another value waits for a restart
}

// settings reads the settings of asynchronous I/O. The names are those that the check io_settings reads.
func settings(ctx context.Context, q pg.Querier) ([]Setting, error) {
	rows, err := q.Query(ctx, `
		SELECT s.name, CASE WHEN s.name = 'io_combine_limit' AND m.setting::bigint < s.setting::bigint THEN current_setting('io_max_combine_limit')
		                    ELSE current_setting(s.name) END, s.source, s.context, s.pending_restart
		FROM pg_settings s LEFT JOIN pg_settings m ON m.name = 'io_max_combine_limit' AND s.name = 'io_combine_limit'
		WHERE s.name LIKE 'io\_%' OR s.name IN ('debug_io_direct', 'effective_io_concurrency', 'maintenance_io_concurrency', 'track_io_timing')
		ORDER BY s.name`)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Setting])
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	return out, nil
}

// Change is one row of the journal of settings.
type Change struct {
	Name   string    `json:"name"`
	Old    *string   `json:"old_value"` // null: not set
	New    *string   `json:"new_value"` // null: not set
	State  string    `json:"state"`     // recommended, begun, kept, reverted, overtaken
	Reason string    `json:"reason,omitempty"`
	Made   time.Time `json:"made_at"`
	Ended  time.Time `json:"ended_at,omitzero"`
}

func changes(ctx context.Context, q pg.Querier) ([]Change, error) {
	rows, err := q.Query(ctx, `
		SELECT name, old_value, new_value, state, left(reason, 1000), made_at, ended_at
		FROM pgtender.setting_change ORDER BY id DESC LIMIT $1`, lastMax)
	if err != nil {
		return nil, fmt.Errorf("read the journal of settings: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Change, err error) {
		var ended *time.Time
		err = row.Scan(&c.Name, &c.Old, &c.New, &c.State, &c.Reason, &c.Made, &ended)
		c.Ended = orZero(ended)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal of settings: %w", err)
	}
	return out, nil
}

// Plan is one plan that was begun.
type Plan struct {
	Hash       string    `json:"hash"`
	State      string    `json:"state"` // running (or killed), done, failed, abandoned
	Statements int       `json:"statements"`
	Done       int       `json:"statements_done"`
	By         string    `json:"applied_by"`
	Started    time.Time `json:"started_at"`
	Finished   time.Time `json:"finished_at,omitzero"`
	Error      string    `json:"error,omitempty"`
}

func plans(ctx context.Context, q pg.Querier) ([]Plan, error) {
	rows, err := q.Query(ctx, `
		SELECT p.hash, p.state, p.statements, (SELECT count(*) FROM pgtender.applied_statement s WHERE s.plan_id = p.id AND s.state = 'done'),
		       p.applied_by, p.started_at, p.finished_at, left(coalesce(p.error, ''), 1000)
		FROM (SELECT * FROM pgtender.applied_plan ORDER BY started_at DESC, id DESC LIMIT $1) p ORDER BY p.started_at DESC, p.id DESC`, lastMax)
	if err != nil {
		return nil, fmt.Errorf("read the journal of schema changes: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Plan, err error) {
		var finished *time.Time
		err = row.Scan(&p.Hash, &p.State, &p.Statements, &p.Done, &p.By, &p.Started, &finished, &p.Error)
		p.Finished = orZero(finished)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal of schema changes: %w", err)
	}
	return out, nil
}

package asyncio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// The states of a change in pgtender.setting_change.
const (
	stateBegun     = "begun"     // being tried, or left so by a process that died
	stateKept      = "kept"      // proved
	stateReverted  = "reverted"  // as it was before
	stateOvertaken = "overtaken" // somebody else has changed it since
)

// Change is one row of the journal of settings.
type Change struct {
	ID     int64      `json:"id"`
	Name   string     `json:"name"`
	Old    *string    `json:"old"` // the entry in postgresql.auto.conf before; null: none
	New    string     `json:"new"`
	State  string     `json:"state"` // begun, kept, reverted, overtaken
	Reason string     `json:"reason"`
	Made   time.Time  `json:"made_at"`
	Ended  *time.Time `json:"ended_at,omitempty"`
	// Before is the value in force before the change, as pg_settings has it.
	Before string `json:"before"`
	// Judged tells whether a trial came to a verdict, so that it is not begun anew soon.
	Judged bool `json:"judged"`
}

const changesSQL = `
SELECT id, name, old_value, coalesce(new_value, ''), state, reason, made_at, ended_at, coalesce(detail ->> 'before', ''),
       coalesce((detail #>> '{trial,verdict,pairs}')::int >= $1, false) OR coalesce(detail #>> '{trial,alarm}', '') <> ''
  FROM pgtender.setting_change WHERE state <> 'recommended'`

// readChanges reads the journal; parameters of where begin with $2. Where pgtender has never worked there is none.
func readChanges(ctx context.Context, db pg.Querier, where string, args ...any) ([]Change, error) {
	rows, err := db.Query(ctx, changesSQL+where, append([]any{minPairs}, args...)...)
	var all []Change
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Change])
	}
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal of settings: %w", err)
	}
	return all, nil
}

// Journal is the newest changes that were made, newest first; none where pgtender has never worked.
func Journal(ctx context.Context, db pg.Querier, most int) ([]Change, error) {
	all, err := readChanges(ctx, db, " ORDER BY id DESC LIMIT $2", most)
	if pg.Is(err, pg.InsufficientPrivilege) { // a person who only looks
		return nil, nil
	}
	return all, err
}

// begin notes a change before it is made. It is committed when begin returns.
func (h *hand) begin(ctx context.Context, run int64, name string, was standing, to, reason string) (Change, error) {
	c := Change{Name: name, Old: was.Entry, New: to, State: stateBegun, Reason: reason, Before: was.Value}
	detail, err := json.Marshal(map[string]string{"before": was.Value})
	if err != nil {
		return c, err
	}
	err = h.db.QueryRow(ctx, `
		INSERT INTO pgtender.setting_change (name, old_value, old_source, new_value, state, reason, detail, run_id)
		VALUES ($1, $2, $3, $4, 'begun', $5, $6, nullif($7::bigint, 0)) RETURNING id, made_at`,
		name, was.Entry, was.Source, to, reason, string(detail), run).Scan(&c.ID, &c.Made)
	if err != nil {
		return c, fmt.Errorf("note the change of %s in the journal: %w", name, err)
	}
	return c, nil
}

// end writes the final state of a change, with the evidence.
func (h *hand) end(ctx context.Context, c Change, state, reason string, evidence any) error {
	detail, err := json.Marshal(map[string]any{"trial": evidence})
	if err != nil {
		return err
	}
	if evidence == nil {
		detail = []byte("{}")
	}
	tag, err := h.db.Exec(ctx, `
		UPDATE pgtender.setting_change SET state = $2, reason = $3, ended_at = clock_timestamp(), detail = detail || $4::jsonb
		 WHERE id = $1 AND state IN ('begun', 'kept')`, c.ID, state, reason, string(detail))
	if err != nil {
		return fmt.Errorf("note the end of the change of %s in the journal: %w", c.Name, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("the journal has lost change %d of %s", c.ID, c.Name)
	}
	return nil
}

// putBack gives the setting the entry that it had before the change, unless somebody else has changed it since, and notes it.
func (h *hand) putBack(ctx context.Context, c Change, reason string, evidence any) (state string, err error) {
	now, err := h.standing(ctx, c.Name)
	if err != nil {
		return "", err
	}
	ours := now.Entry != nil && *now.Entry == c.New
	if !ours && !same(now.Entry, c.Old) {
		return stateOvertaken, h.end(ctx, c, stateOvertaken, reason+"; somebody else has changed it since, so it was left", evidence)
	}
	value := c.Before
	if c.Old == nil {
		value = "" // another file, or the default, decides: that may have been edited since
	}
	if err := h.put(ctx, c.Name, c.Old, value); err != nil {
		var edits *EditsError
		var files *FilesError
		if errors.As(err, &edits) || errors.As(err, &files) {
			return "", fmt.Errorf("put %s back: the entry in postgresql.auto.conf is back, and comes into force with the next reload: %w", c.Name, err)
		}
		now, again := h.standing(ctx, c.Name)
		if again != nil || !same(now.Entry, c.Old) || !now.beaten() {
			return "", fmt.Errorf("put %s back: %w", c.Name, err)
		}
		reason += fmt.Sprintf("; its entry is as it was, though %s from %s beats it now", now.Value, now.Source)
	}
	return stateReverted, h.end(ctx, c, stateReverted, reason, evidence)
}

// beaten tells whether something else than the configuration files decides.
func (s standing) beaten() bool { return s.Source != "configuration file" && s.Source != "default" }

// byHand is the SQL that puts a setting back where pgtender cannot.
func (c Change) byHand() string {
	set := "ALTER SYSTEM RESET " + pg.Ident(c.Name)
	if c.Old != nil {
		set = "ALTER SYSTEM SET " + pg.Ident(c.Name) + " = " + pg.Literal(*c.Old)
	}
	return set + "; SELECT pg_reload_conf();"
}

// left says what an unfinished trial has left behind, and what puts it back.
func (c Change) left() string {
	return fmt.Sprintf("%s = %s may still be in postgresql.auto.conf, from a trial that was not finished; before, %s was in force. The next run of the io job, or `pgtender io revert`, puts it back; by hand: %s",
		c.Name, c.New, c.Before, c.byHand())
}

// reconcile puts back what a process that died left in the middle of a trial.
func (h *hand) reconcile(ctx context.Context, say func(format string, args ...any)) (int, error) {
	open, err := readChanges(ctx, h.db, " AND state = 'begun' ORDER BY id DESC")
	if err != nil {
		return 0, err
	}
	for i, c := range open {
		state, err := h.putBack(ctx, c, "the trial was interrupted", nil)
		if err != nil {
			return i, fmt.Errorf("an interrupted trial of %s = %s, begun %s: %w", c.Name, c.New, c.Made.UTC().Format(time.DateTime), err)
		}
		say("an interrupted trial of %s = %s, begun %s: %s", c.Name, c.New, c.Made.UTC().Format(time.DateTime), state)
	}
	return len(open), nil
}

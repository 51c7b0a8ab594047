package asyncio

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgtender/pgtender/jobs"
)

// revert puts back what was kept: the last change, or all. A setting that somebody else has changed since is left as it is.
func (t *tuner) revert(ctx context.Context, run *jobs.Run, all bool) (jobs.Result, error) {
	result := jobs.Result{Outcome: jobs.Noop, Summary: nothingToRevert}
	s, err := Read(ctx, t.Pool)
	if err != nil {
		return result, err
	}
	var open []Change
	if run.DryRun {
		open, err = readChanges(ctx, t.Pool, revertible)
		for _, c := range limit(open, all) {
			run.Say("%s", c.way())
			result.Summary = "would put back what is listed"
		}
		return result, err
	}
	if refusal := s.mayTune(); refusal != nil {
		return result, fmt.Errorf("nothing was changed: %w%s", refusal, t.unfinished(ctx))
	}
	var done, left []string
	err = t.withHand(ctx, func(h *hand) error {
		interrupted, err := readChanges(ctx, h.db, " AND state = 'begun' ORDER BY id DESC")
		if err != nil {
			return err
		}
		if _, err := h.reconcile(ctx, run.Say); err != nil {
			return err
		}
		for _, c := range interrupted {
			done = append(done, c.Name)
		}
		if len(done) > 0 && !all {
			return nil
		}
		open, err := readChanges(ctx, h.db, revertible)
		if err != nil {
			return err
		}
		for _, c := range limit(open, all) {
			state, err := h.putBack(ctx, c, "put back by hand", nil)
			if err != nil {
				return err
			}
			run.Say("%s: %s", c.way(), state)
			if state == stateOvertaken {
				left = append(left, c.Name)
			} else {
				done = append(done, c.Name)
			}
		}
		return nil
	})
	result.Detail = map[string]any{"reverted": done, "overtaken": left}
	if len(done) > 0 {
		result.Outcome, result.Summary = jobs.Success, "put back "+strings.Join(done, ", ")
	}
	if len(left) > 0 {
		result.Summary = strings.TrimPrefix(result.Summary+"; left as somebody else has set it: "+strings.Join(left, ", "), nothingToRevert+"; ")
	}
	return result, err
}

const nothingToRevert = "nothing to put back: no change of pgtender's is recorded in this database (settings are of the whole server: the pgtender of another database may have changed some)"

const revertible = " AND state IN ('begun', 'kept') ORDER BY id DESC"

func limit(changes []Change, all bool) []Change {
	if all || len(changes) == 0 {
		return changes
	}
	return changes[:1]
}

// way is what reverting a change does.
func (c Change) way() string {
	to := "back to what the other configuration files or the default say"
	if c.Old != nil {
		to = "back to " + *c.Old
	}
	return fmt.Sprintf("%s = %s (since %s) %s", c.Name, c.New, c.Made.UTC().Format("2006-01-02 15:04"), to)
}

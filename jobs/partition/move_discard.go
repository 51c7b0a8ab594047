package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// discard drops what unfinished moves have left: the copies and the notes, as soon as nobody writes to the DEFAULT partition, since a
// statement that is under way goes on writing to them; and the triggers, which do nothing then, as soon as nobody uses it. What
// another pgtender is working on is left alone.
func (j *Job) discard(ctx context.Context, set *parts.Set, names []string) error {
	def := ident(set.Default.Table)
	var idle, drop []string
	for _, n := range names {
		m := &move{name: n}
		idle = append(idle, fmt.Sprintf("CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS 'BEGIN RETURN NULL; END'", m.trigger()),
			"DROP TABLE IF EXISTS "+m.shell(), "DROP TABLE IF EXISTS "+m.log())
		drop = append(drop, "DROP FUNCTION "+m.trigger())
	}
	drop = append([]string{fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", parts.MoveTrigger, def), fmt.Sprintf("DROP TRIGGER IF EXISTS %s_all ON %s", parts.MoveTrigger, def)}, drop...)
	for _, step := range []struct {
		mode string
		list []string
	}{{parts.ShareRowExclusive, idle}, {parts.AccessExclusive, drop}} {
		err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			if err := parts.Claim(ctx, tx, set.Asked); err != nil {
				return err
			}
			got, err := pg.TryLockTx(ctx, tx, moveLock(set.Asked))
			if err == nil && !got {
				return errMoving(set)
			}
			if err == nil {
				err = parts.LockAll(ctx, tx, j.Patience, []parts.Lock{{Table: set.Default.Table, Mode: step.mode}})
			}
			if err == nil {
				_, err = tx.Exec(ctx, strings.Join(step.list, ";\n"))
			}
			return err
		})
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) {
			err = fmt.Errorf("drop what an interrupted move out of %s left (until then nothing is wrong, and the next run tries again): %w", set.Default.Table, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func errMoving(set *parts.Set) error {
	return &Refusal{set.Asked, "another pgtender is moving rows out of its DEFAULT partition " + set.Default.Table.String(), "It makes the partitions, too; `pgtender job list` shows when it has ended."}
}

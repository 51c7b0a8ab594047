package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// goingOnError is a move that another pgtender is in the middle of. It is left to it.
type goingOnError struct{ set *parts.Set }

func (e *goingOnError) Error() string {
	return fmt.Sprintf("another pgtender is moving rows out of %s, the DEFAULT partition of %s, and makes the partitions, too", e.set.Default.Table, e.set.Table)
}

// takenError is a move whose session was lost, so that another pgtender took it for one that a crash left.
type takenError struct{ m *move }

func (e *takenError) Error() string {
	return fmt.Sprintf("another pgtender has dropped the copy, because the session that held the lock of this move (server process %d) was lost and the move looked like one that a crash left. "+
		"No row is lost: the other one, or the next run, makes the partitions", e.m.session.PgConn().PID())
}

// claimed runs f in a transaction that has claimed the table, while the move's objects are still there.
func (m *move) claimed(ctx context.Context, patience pg.Patience, f func(tx pgx.Tx) error) error {
	return patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error {
		if err := parts.Claim(ctx, tx, m.set.Asked); err != nil {
			return err
		}
		if err := m.there(ctx, tx); err != nil {
			return err
		}
		return f(tx)
	})
}

// there is an error when the move's objects are gone. It asks the catalog itself: what to_regclass answers from may be older than the claim.
func (m *move) there(ctx context.Context, tx pgx.Tx) error {
	var there bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgtender' AND c.relname = $1)`, m.name+"_log").Scan(&there)
	if err == nil && !there {
		err = &takenError{m}
	}
	return err
}

// leftOn are the names of the moves whose trigger stands on the DEFAULT partition now.
func (j *Job) leftOn(ctx context.Context, set *parts.Set) (names []string, err error) {
	err = j.Pool.QueryRow(ctx, `
		SELECT ARRAY(SELECT DISTINCT f.proname::text FROM pg_trigger x JOIN pg_proc f ON f.oid = x.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
		             WHERE x.tgrelid = $1 AND x.tgname = $2 AND n.nspname = 'pgtender' ORDER BY 1)`, set.Default.OID, parts.MoveTrigger).Scan(&names)
	if err != nil {
		return nil, fmt.Errorf("look whether rows are being moved out of %s: %w", set.Default.Table, err)
	}
	return names, nil
}

// discard drops what unfinished moves have left: the copies and the notes, as soon as nobody writes to the DEFAULT partition, since a
// statement that is under way goes on writing to them; and the triggers, which do nothing then, as soon as nobody uses it. What
// another pgtender is working on is left alone; held says that the move's lock is ours, so that there is none.
func (j *Job) discard(ctx context.Context, set *parts.Set, names []string, held bool) error {
	for _, step := range []struct {
		mode string
		list func(left) []string
	}{{parts.ShareRowExclusive, left.idle}, {parts.AccessExclusive, left.drop}} {
		err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			if err := parts.Claim(ctx, tx, set.Asked); err != nil {
				return err
			}
			l := left{def: ident(set.Default.Table)}
			if err := l.read(ctx, tx, set, names); err != nil || len(l.names) == 0 {
				return err
			}
			got, err := held, error(nil)
			if !held {
				got, err = pg.TryLockTx(ctx, tx, moveLock(set.Asked))
			}
			if err == nil && !got {
				return &goingOnError{set}
			}
			if err == nil {
				err = parts.LockAll(ctx, tx, j.Patience, []parts.Lock{{Table: set.Default.Table, Mode: step.mode}})
			}
			if err == nil {
				_, err = tx.Exec(ctx, strings.Join(step.list(l), ";\n"))
			}
			return err
		})
		var goingOn *goingOnError
		if err != nil && !errors.As(err, &goingOn) {
			err = fmt.Errorf("drop what an interrupted move out of %s left (until then nothing is wrong, and the next run tries again): %w", set.Default.Table, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rehearseDiscard says what discard would do.
func (j *Job) rehearseDiscard(ctx context.Context, run *jobs.Run, set *parts.Set) error {
	return j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		l := left{def: ident(set.Default.Table)}
		if err := l.read(ctx, tx, set, set.Default.Moves); err != nil || len(l.names) == 0 {
			return err
		}
		got, err := pg.TryLockTx(ctx, tx, moveLock(set.Asked))
		if err == nil && !got {
			err = &goingOnError{set}
		}
		if err != nil {
			return err
		}
		run.Say("-- an interrupted move out of %s has left these, which nobody needs. In one transaction that has locked it against writers, and then another against everybody:", set.Default.Table)
		for _, s := range append(l.idle(), l.drop()...) {
			run.Say("%s;", s)
		}
		return nil
	})
}

// left is what moves have left.
type left struct {
	def      string   // the DEFAULT partition
	names    []string // moves of which there is a function
	triggers []string // that call one of them
}

// read keeps to what is there now: whoever else discarded a move may be done with it, and the trigger be that of a later one.
func (l *left) read(ctx context.Context, tx pgx.Tx, set *parts.Set, names []string) error {
	err := tx.QueryRow(ctx, `
		WITH f AS (SELECT f.oid, f.proname FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = 'pgtender' AND f.proname = ANY ($2::text[]))
		SELECT ARRAY(SELECT proname::text FROM f ORDER BY 1),
		       ARRAY(SELECT x.tgname::text FROM pg_trigger x WHERE x.tgrelid = $1 AND x.tgfoid IN (SELECT oid FROM f) ORDER BY 1)`, set.Default.OID, names).Scan(&l.names, &l.triggers)
	if err != nil {
		return fmt.Errorf("look what moves have left on %s: %w", set.Default.Table, err)
	}
	return nil
}

func (l left) idle() (list []string) {
	for _, n := range l.names {
		m := &move{name: n}
		list = append(list, fmt.Sprintf("CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS 'BEGIN RETURN NULL; END'", m.trigger()),
			"DROP TABLE IF EXISTS "+m.shell(), "DROP TABLE IF EXISTS "+m.log())
	}
	return list
}

func (l left) drop() (list []string) {
	for _, t := range l.triggers {
		list = append(list, fmt.Sprintf("DROP TRIGGER %s ON %s", pg.Ident(t), l.def))
	}
	for _, n := range l.names {
		list = append(list, "DROP FUNCTION "+(&move{name: n}).trigger())
	}
	return list
}

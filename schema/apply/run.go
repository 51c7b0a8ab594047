package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/plan"
)

// statements runs the plan, transaction by transaction.
func (r *runner) statements(ctx context.Context) error {
	all := r.plan.Statements
	r.done = make([]bool, len(all))
	for i := 0; i < len(all); {
		j := i + 1
		for all[i].Tx != 0 && j < len(all) && all[j].Tx == all[i].Tx {
			j++
		}
		at, err := i, error(nil)
		if all[i].OutsideTx {
			err = r.outside(ctx, i)
		} else {
			at, err = r.transaction(ctx, i, j)
		}
		if err != nil {
			return &PartialError{Statements: all, Done: r.done, At: at, Uncertain: r.ending && r.conn.IsClosed(), Err: err}
		}
		for ; i < j; i++ {
			r.done[i] = true
			r.report.Ran++
		}
	}
	return nil
}

// transaction runs statements i to j-1 in one transaction, with their journal. It returns the one that failed.
func (r *runner) transaction(ctx context.Context, i, j int) (int, error) {
	at := i
	err := r.patience(r.Patience, &r.plan.Statements[i]).InTx(ctx, r.conn, func(tx pgx.Tx) error {
		r.ending = false
		for at = i; at < j; at++ {
			s := &r.plan.Statements[at]
			start := time.Now()
			r.tell(Begun, at, 0)
			if _, err := tx.Exec(ctx, s.SQL); err != nil {
				return explain(err)
			}
			r.tell(Ended, at, time.Since(start))
		}
		at = j - 1
		err := r.markDone(ctx, tx, i, j)
		r.ending = err == nil
		return err
	})
	return at, err
}

// outside runs one statement by itself. lock_timeout is the session's here, since there is no transaction.
func (r *runner) outside(ctx context.Context, i int) error {
	r.ending = false
	s := &r.plan.Statements[i]
	start := time.Now()
	err := r.patience(r.Builds, s).Do(ctx, func() error {
		if _, err := r.conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", r.Builds.LockTimeout.Milliseconds())); err != nil {
			return err
		}
		built, err := r.clear(ctx, s)
		if err != nil {
			return err
		}
		if built {
			r.tell(Skipped, i, time.Since(start))
			return nil
		}
		if err := r.markRunning(ctx, i); err != nil {
			return err
		}
		r.tell(Begun, i, 0)
		r.ending = true // it may have come to its end when the connection breaks
		_, err = r.conn.Exec(ctx, s.SQL)
		return explain(err)
	})
	if err != nil {
		return err
	}
	r.tell(Ended, i, time.Since(start))
	return r.markDone(ctx, r.conn, i, i+1)
}

// clear looks for what an earlier try of a concurrent build has left: an invalid index is dropped, one that is complete
// and the same counts as built. It never drops a valid one.
func (r *runner) clear(ctx context.Context, s *plan.Statement) (built bool, err error) {
	target, ok := strings.CutPrefix(s.Cleanup, "DROP INDEX CONCURRENTLY IF EXISTS ")
	if !ok {
		return false, nil
	}
	var valid bool
	var definition string
	err = r.conn.QueryRow(ctx, `SELECT x.indisvalid AND x.indisready AND x.indislive, pg_get_indexdef(x.indexrelid)
		FROM pg_index x WHERE x.indexrelid = to_regclass($1)`, target).Scan(&valid, &definition)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for index %s: %w", target, err)
	case !valid:
		if _, err := r.conn.Exec(ctx, s.Cleanup); err != nil {
			return false, fmt.Errorf("drop the invalid index %s that an earlier try left: %w", target, err)
		}
		return false, nil
	case plan.SameIndex(s.SQL, definition):
		return true, nil
	}
	return false, fmt.Errorf("an index %s is there already, and is another one: %s; rename or drop it first", target, definition)
}

// dependentsExist is the SQLSTATE of a DROP that something else stands in the way of.
const dependentsExist = "2BP01"

// explain adds the server's detail, and what to do about common refusals.
func explain(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	if pgErr.Detail != "" {
		err = fmt.Errorf("%w: %s", err, pgErr.Detail)
	}
	switch pgErr.Code {
	case pg.InsufficientPrivilege:
		return fmt.Errorf("%w; pgtender must connect as the owner of the schema's objects", err)
	case dependentsExist:
		return fmt.Errorf("%w; something that pgtender does not manage depends on it: drop that by hand first", err)
	}
	return err
}

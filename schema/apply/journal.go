package apply

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
)

// execer is a connection or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// begin writes the plan into the journal. We hold the runners' lock, so whatever else is marked as running there was killed.
func (r *runner) begin(ctx context.Context) error {
	if r.Instance == "" {
		host, _ := os.Hostname()
		r.Instance = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	allowed := []string{}
	for _, h := range r.AllowHazards {
		allowed = append(allowed, string(h))
	}
	sqls := make([]string, len(r.plan.Statements))
	for i, s := range r.plan.Statements {
		sqls[i] = s.SQL
	}
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		killed, err := tx.Exec(ctx, `UPDATE pgtender.applied_plan SET state = 'abandoned', finished_at = clock_timestamp(),
			error = 'it was killed; a later plan went on from what it had done' WHERE state = 'running'`)
		if err != nil {
			return err
		}
		if killed.RowsAffected() > 0 {
			r.Progress(Event{Kind: Resumed, Message: "the last plan was killed half-way; this one goes on from what it had done"})
		}
		err = tx.QueryRow(ctx, `INSERT INTO pgtender.applied_plan (hash, from_fingerprint, to_fingerprint, statements, allowed_hazards, instance)
			VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
			r.plan.Hash(), r.plan.From, r.plan.To, len(sqls), allowed, r.Instance).Scan(&r.id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO pgtender.applied_statement (plan_id, position, sql)
			SELECT $1, position, sql FROM unnest($2::text[]) WITH ORDINALITY AS s (sql, position)`, r.id, sqls)
		return err
	})
	if err != nil {
		return fmt.Errorf("write the plan into the journal: %w", err)
	}
	return nil
}

// Conclude is for whoever has found the database to be as declared, with that fingerprint: a plan that was killed after its last
// statement, and before it could say so, is no longer going on. It does nothing while another runner is at work.
func Conclude(ctx context.Context, conn *pgx.Conn, declared string) error {
	var open bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pgtender.applied_plan WHERE state = 'running')").Scan(&open)
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) || err == nil && !open {
		return nil
	}
	if err == nil {
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			alone, err := pg.TryLockTx(ctx, tx, lockName)
			if err != nil || !alone {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE pgtender.applied_plan SET finished_at = clock_timestamp(),
				state = CASE WHEN to_fingerprint = $1 THEN 'done' ELSE 'abandoned' END,
				error = CASE WHEN to_fingerprint <> $1 THEN 'it was killed; what it had not done was done otherwise, or is no longer declared' END
				WHERE state = 'running'`, declared)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("complete killed plans in the journal: %w", err)
	}
	return nil
}

// markRunning notes that a statement outside a transaction is begun.
func (r *runner) markRunning(ctx context.Context, i int) error {
	_, err := r.conn.Exec(ctx, `UPDATE pgtender.applied_statement SET state = 'running', attempts = attempts + 1, started_at = clock_timestamp()
		WHERE plan_id = $1 AND position = $2`, r.id, i+1)
	if err != nil {
		return fmt.Errorf("write into the journal: %w", err)
	}
	return nil
}

// markDone notes that statements i to j-1 are done, in the transaction that runs them where there is one.
func (r *runner) markDone(ctx context.Context, db execer, i, j int) error {
	_, err := db.Exec(ctx, `UPDATE pgtender.applied_statement SET state = 'done', attempts = greatest(attempts, 1), finished_at = clock_timestamp(),
		started_at = coalesce(started_at, now()) WHERE plan_id = $1 AND position > $2 AND position <= $3`, r.id, i, j)
	if err != nil {
		return fmt.Errorf("write into the journal: %w", err)
	}
	return nil
}

// fail notes why the plan ended. It does so as well as it can: the session may be gone, and ctx ended.
func (r *runner) fail(ctx context.Context, cause error) {
	var partial *PartialError
	if !errors.As(cause, &partial) {
		return
	}
	r.note(ctx, func(ctx context.Context, db execer) error {
		if _, err := db.Exec(ctx, `UPDATE pgtender.applied_statement SET state = 'failed', error = $3, finished_at = clock_timestamp()
			WHERE plan_id = $1 AND position = $2 AND state <> 'done'`, r.id, partial.At+1, partial.Err.Error()); err != nil {
			return err
		}
		_, err := db.Exec(ctx, `UPDATE pgtender.applied_plan SET state = 'failed', error = $2, finished_at = clock_timestamp() WHERE id = $1`,
			r.id, fmt.Sprintf("statement %d: %v", partial.At+1, partial.Err))
		return err
	})
}

// finish notes how the plan ended.
func (r *runner) finish(ctx context.Context, verified error) {
	if r.id == 0 {
		return
	}
	r.note(ctx, func(ctx context.Context, db execer) error {
		sql, args := `UPDATE pgtender.applied_plan SET state = 'done', finished_at = clock_timestamp() WHERE id = $1`, []any{r.id}
		if verified != nil {
			sql = `UPDATE pgtender.applied_plan SET state = 'failed', error = $2, finished_at = clock_timestamp() WHERE id = $1`
			args = append(args, verified.Error())
		}
		_, err := db.Exec(ctx, sql, args...)
		return err
	})
}

// note writes into the journal even when the work was cancelled or its session lost. When that fails too, the next run
// marks the plan as abandoned.
func (r *runner) note(ctx context.Context, write func(context.Context, execer) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if !r.conn.IsClosed() && write(ctx, r.conn) == nil {
		return
	}
	conn, err := pg.Dedicated(ctx, r.URL, "")
	if err != nil {
		return
	}
	defer conn.Close(ctx)
	_ = write(ctx, conn)
}

func (r *runner) tell(kind EventKind, i int, elapsed time.Duration) {
	r.Progress(Event{Kind: kind, Index: i, Of: len(r.plan.Statements), Statement: &r.plan.Statements[i], Elapsed: elapsed})
}

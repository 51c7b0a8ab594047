package parts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Lock is a table, without what is below it, and the mode in which to take it, as LOCK TABLE names modes.
type Lock struct {
	Table config.Table
	Mode  string
}

// The modes that attaching and detaching need. Source: PostgreSQL 18, chapter 13.3.
const (
	ShareUpdateExclusive = "SHARE UPDATE EXCLUSIVE" // of others' work only maintenance and DDL wait
	ShareRowExclusive    = "SHARE ROW EXCLUSIVE"    // writers wait
	AccessExclusive      = "ACCESS EXCLUSIVE"       // everybody waits
)

// LockAll takes the locks in their order and waits for all of them together no longer than patience.LockTimeout, though at least
// 10 ms for each: whoever has to queue behind the first one waits no longer than that, however many there are. What
// follows in the transaction, and needs a lock that was not named, has what was left for the last one.
func LockAll(ctx context.Context, tx pgx.Tx, patience pg.Patience, locks []Lock) error {
	begun := time.Now()
	for _, l := range locks {
		timeout := max((patience.LockTimeout - time.Since(begun)).Milliseconds(), 10)
		sql := fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE ONLY %s IN %s MODE", timeout, pg.Ident(l.Table.Schema, l.Table.Name), l.Mode)
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("lock %s in %s mode: %w", l.Table, l.Mode, err)
		}
	}
	return nil
}

// Claim begins work on the partitions of a table: the transaction sees what others have committed, no row policy hides
// rows from it (one that would is an error), and no other pgtender works on the same table until it ends. Waiting for the
// other one ends with lock_timeout.
func Claim(ctx context.Context, tx pgx.Tx, table config.Table) error {
	// The isolation level must stand before the first query takes a snapshot.
	sql := fmt.Sprintf("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL row_security = off; SELECT pg_advisory_xact_lock(%d)", pg.LockKey("partitions "+table.String()))
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("wait for another pgtender that works on the partitions of %s: %w", table, err)
	}
	return nil
}

// Busy adds to an error about locks that could not be had who holds the tables just now; other errors pass.
func Busy(ctx context.Context, q pg.Querier, err error, tables ...config.Table) error {
	var busy *pg.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	// What a session runs is its own business: who and since when is enough to find it.
	rows, qerr := q.Query(ctx, `
		SELECT DISTINCT format('%s.%s is held by pid %s (%s, %s, %s, in its transaction since %s)', n.nspname, c.relname, a.pid,
		       coalesce(a.usename, '-'), coalesce(nullif(a.application_name, ''), '-'), coalesce(a.state, a.backend_type), coalesce(a.xact_start::timestamptz(0)::text, '-'))
		FROM unnest($1::text[], $2::text[]) AS t(nsp, rel)
		JOIN pg_namespace n ON n.nspname = t.nsp JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.rel
		JOIN pg_locks l ON l.relation = c.oid AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		JOIN pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_backend_pid()
		ORDER BY 1 LIMIT 10`, schemas, names)
	if qerr != nil {
		return err
	}
	list, qerr := pgx.CollectRows(rows, pgx.RowTo[string])
	if qerr != nil || len(list) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(list, "\n"))
}

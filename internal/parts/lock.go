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
	return claim(ctx, tx, table, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ")
}

// Join is Claim at the isolation level that the transaction was begun with.
func Join(ctx context.Context, tx pgx.Tx, table config.Table) error {
	return claim(ctx, tx, table, "")
}

func claim(ctx context.Context, tx pgx.Tx, table config.Table, first string) error {
	sql := fmt.Sprintf("%sSET LOCAL row_security = off; SELECT pg_advisory_xact_lock(%d)", first, pg.LockKey("partitions "+table.String()))
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("wait for another pgtender that works on the partitions of %s: %w", table, err)
	}
	return nil
}

// Busy adds to an error about locks that could not be had who holds the tables just now; other errors pass.
func Busy(ctx context.Context, q pg.Querier, err error, locks []Lock) error {
	var busy *pg.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	found, qerr := holders(ctx, q, locks)
	if qerr != nil || len(found) == 0 {
		return err
	}
	var list []string
	for _, h := range found {
		list = append(list, fmt.Sprintf("%s is held by %s", h.table, h.who))
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(list, "\n"))
}

// tellEvery is how often a person is told what is waited for.
const tellEvery = 5 * time.Second

// Telling is the patience that tells what it waits for, from the second attempt that failed on and no more often than
// every few seconds: the holders of the locks, or what the server said.
func Telling(ctx context.Context, q pg.Querier, p pg.Patience, say func(format string, args ...any), locks []Lock) pg.Patience {
	var told time.Time
	before := p.Waited
	p.Waited = func(attempt int, err error) {
		if before != nil {
			before(attempt, err)
		}
		if attempt < 2 || attempt >= p.Attempts || time.Since(told) < tellEvery { // after the last one, the error tells
			return
		}
		told = time.Now()
		found, qerr := holders(ctx, q, locks)
		if qerr != nil || len(found) == 0 {
			say("waits for a lock (attempt %d of %d): %v", attempt, p.Attempts, err)
			return
		}
		for _, h := range found {
			say("waits for a lock on %s: held by %s", h.table, h.who)
		}
	}
	return p
}

// holder is a session that has a lock on a table.
type holder struct{ table, who string }

// holders are the sessions whose locks on the tables conflict with those wanted, each with the first such table, the longest
// transaction first. It waits for no lock.
// Source of the conflicts: PostgreSQL 18, chapter 13.3.
func holders(ctx context.Context, q pg.Querier, locks []Lock) ([]holder, error) {
	var schemas, names, modes []string
	for _, l := range locks {
		schemas, names, modes = append(schemas, l.Table.Schema), append(names, l.Table.Name), append(modes, l.Mode)
	}
	rows, err := q.Query(ctx, `
		SELECT relname, who FROM (
			SELECT DISTINCT ON (a.pid) t.i, a.pid, a.xact_start, format('%s.%s', n.nspname, c.relname) AS relname,
			       format('pid %s (%s, %s, %s, in its transaction since %s: %s)', a.pid, coalesce(a.usename, '-'), coalesce(nullif(a.application_name, ''), '-'),
			              coalesce(a.state, a.backend_type), coalesce(a.xact_start::timestamptz(0)::text, '-'),
			              coalesce(nullif(left(regexp_replace(btrim(a.query), '\s+', ' ', 'g'), 80), ''), '-')) AS who
			  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t(nsp, rel, mode, i)
			  JOIN pg_namespace n ON n.nspname = t.nsp JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.rel
			  JOIN pg_locks l ON l.relation = c.oid AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			   AND (t.mode = 'ACCESS EXCLUSIVE'
			        OR l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
			        OR t.mode = 'SHARE ROW EXCLUSIVE' AND l.mode = 'RowExclusiveLock')
			  JOIN pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_backend_pid()
			   AND (a.xact_start IS NOT NULL OR a.state IS NULL) -- else it has just ended; a role that may not see it sees neither
			 ORDER BY a.pid, t.i) found
		ORDER BY xact_start, i, pid LIMIT 5`, schemas, names, modes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (h holder, err error) {
		err = r.Scan(&h.table, &h.who)
		return h, err
	})
}

package parts

import (
	"context"
	"fmt"
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

// LockAll takes the locks in their order and waits for all of them together no longer than patience.LockTimeout: whoever has
// to queue behind the first one waits no longer than that, however many there are. What follows in the
// transaction, and needs a lock that was not named, has what is left of it, at least 10 ms.
func LockAll(ctx context.Context, tx pgx.Tx, patience pg.Patience, locks []Lock) error {
	begun := time.Now()
	timeout := func() int64 {
		return max((patience.LockTimeout - time.Since(begun)).Milliseconds(), 10)
	}
	for _, l := range locks {
		sql := fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE ONLY %s IN %s MODE", timeout(), pg.Ident(l.Table.Schema, l.Table.Name), l.Mode)
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("lock %s in %s mode: %w", l.Table, l.Mode, err)
		}
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", timeout()))
	return err
}

// Claim begins work on the partitions of a table: the transaction sees what others have committed, no row policy hides
// rows from it (one that would is an error), and no other pgtender works on the same table until it ends. Waiting for the
// other one ends with lock_timeout.
func Claim(ctx context.Context, tx pgx.Tx, table config.Table) error {
	// The isolation level must stand before the first query takes a snapshot.
	if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL row_security = off"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", pg.LockKey("partitions "+table.String())); err != nil {
		return fmt.Errorf("wait for another pgtender that works on the partitions of %s: %w", table, err)
	}
	return nil
}

package pg

import (
	"context"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
)

// LockKey turns a name such as "leader" or "partition public.orders" into an advisory lock key. All of
// pgtender's keys share a prefix, so they do not meet another program's by habit.
func LockKey(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte("pgtender/" + name))
	return int64(h.Sum64())
}

// TryLock takes a session-level advisory lock, or reports at once that somebody else holds it. The
// connection must be a dedicated one: the lock lives exactly as long as its session.
func TryLock(ctx context.Context, conn *pgx.Conn, name string) (bool, error) {
	var got bool
	err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", LockKey(name)).Scan(&got)
	return got, err
}

// Unlock gives a session-level advisory lock back.
func Unlock(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock($1)", LockKey(name))
	return err
}

// TryLockTx takes an advisory lock that ends with the transaction.
func TryLockTx(ctx context.Context, tx pgx.Tx, name string) (bool, error) {
	var got bool
	err := tx.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_xact_lock($1)", LockKey(name)).Scan(&got)
	return got, err
}

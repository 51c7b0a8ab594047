package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/pg"
)

// Session opens a connection as pgtender's own are, and closes it when the test ends.
func Session(t testing.TB, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pg.Dedicated(t.Context(), databaseURL, "")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Pool opens a pool as the daemon's is, and closes it when the test ends.
func Pool(t testing.TB, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(t.Context(), databaseURL, 4)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

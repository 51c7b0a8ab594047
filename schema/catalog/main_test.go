package catalog_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// snapshot reads what the statements make of an empty database, and leaves it empty.
func snapshot(t testing.TB, conn *pgx.Conn, scope catalog.Scope, statements ...string) *catalog.Snapshot {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = public"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range statements {
		if sql == "" {
			continue
		}
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	s, err := catalog.Read(t.Context(), tx, scope)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var public = catalog.Scope{Schemas: []string{"public"}}

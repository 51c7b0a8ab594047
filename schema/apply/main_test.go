package apply_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// target is a database to be brought to what another one declares.
type target struct {
	url      string
	conn     *pgx.Conn
	scope    catalog.Scope
	declared *catalog.Snapshot
}

func open(t *testing.T, old, new string) *target {
	t.Helper()
	d := &target{url: pgtest.Database(t), scope: catalog.Scope{Schemas: []string{"public"}}}
	d.conn = pgtest.Session(t, d.url)
	exec(t, d.conn, old)
	d.declared = declare(t, new, d.scope)
	return d
}

// declare reads the catalog of a database made by the statements.
func declare(t *testing.T, sql string, scope catalog.Scope) *catalog.Snapshot {
	t.Helper()
	conn := pgtest.Session(t, pgtest.Database(t))
	exec(t, conn, sql)
	return snapshot(t, conn, scope)
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "SET search_path = public; "+sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var out T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&out); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

func snapshot(t *testing.T, conn *pgx.Conn, scope catalog.Scope) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.ReadDatabase(t.Context(), conn, scope, 5000)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *target) snapshot(t *testing.T) *catalog.Snapshot {
	t.Helper()
	return snapshot(t, d.conn, d.scope)
}

func (d *target) plan(t *testing.T) *plan.Plan {
	t.Helper()
	p, err := plan.Make(d.snapshot(t), d.declared, plan.Options{Database: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *target) options(p *plan.Plan) apply.Options {
	return apply.Options{URL: d.url, Plan: p, Declared: d.declared, Scope: d.scope, AllowHazards: plan.HazardNames()}
}

// mustEqual asserts that the database is as declared.
func (d *target) mustEqual(t *testing.T) {
	t.Helper()
	if diff := catalog.Diff(d.snapshot(t), d.declared); len(diff) > 0 {
		t.Errorf("still differs: %v", diff)
	}
}

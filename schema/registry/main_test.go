package registry_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// db is a connection to a database of the test's own.
type db struct {
	testing.TB
	*pgx.Conn
	url string
}

// empty gives a registry without rows.
func empty(t testing.TB) db { return connect(t, registrytest.Database(t)) }

func connect(t testing.TB, url string) db {
	t.Helper()
	conn, err := pg.Dedicated(context.Background(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return db{t, conn, url}
}

// second opens another session in the same database.
func (d db) second() db {
	d.Helper()
	return connect(d.TB, d.url)
}

func (d db) do(sql string, args ...any) {
	d.Helper()
	if _, err := d.Exec(context.Background(), sql, args...); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// refused runs what must fail with the SQLSTATE and returns the error.
func (d db) refused(code, sql string, args ...any) error {
	d.Helper()
	_, err := d.Exec(context.Background(), sql, args...)
	if !pg.Is(err, code) {
		d.Errorf("%s: want SQLSTATE %s, got %v", sql, code, err)
	}
	return err
}

// get reads one value.
func get[T any](d db, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}

// list reads one column of all rows.
func list[T any](d db, sql string, args ...any) []T {
	d.Helper()
	rows, err := d.Query(context.Background(), sql, args...)
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return all
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

const (
	uniqueViolation    = "23505"
	checkViolation     = "23514"
	integrityViolation = "23000"
	noDataFound        = "P0002"
	notInPrerequisite  = pg.NotInPrerequisite
)

// model makes a model with versions that are one day apart, the first a year old, none active.
func (d db) model(id int, versions ...string) {
	d.Helper()
	d.do("INSERT INTO public.ai_models (id, model_name, model_type) VALUES ($1, 'model-' || $1::integer, 'classification')", id)
	for i, version := range versions {
		d.do(`INSERT INTO public.model_versions (id, model_id, version, version_type, model_file_path, created_at)
		      VALUES ($1, $2, $3, 'minor', '/models/m/1.0.0/model.pt', now() - interval '1 year' + $4 * interval '1 day')`,
			id*100+i, id, version, i)
	}
}

// deployment makes a model with one version that is deployed for a year, all with the same id.
func (d db) deployment(id int) {
	d.Helper()
	d.do("INSERT INTO public.deployment_environments (id, environment_name, environment_type) VALUES (1, 'production', 'production') ON CONFLICT DO NOTHING")
	d.do("INSERT INTO public.ai_models (id, model_name, model_type) VALUES ($1, 'model-' || $1::integer, 'classification')", id)
	d.do(`INSERT INTO public.model_versions (id, model_id, version, version_type, model_file_path)
	      VALUES ($1, $1, '1.0.0', 'major', '/models/m/1.0.0/model.pt')`, id)
	d.do(`INSERT INTO public.model_deployments (id, model_version_id, environment_id, deployment_status, deployed_at)
	      VALUES ($1, $1, 1, 'active', now() - interval '1 year')`, id)
}

package config_test

import (
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
)

// TestOwnFileRuns runs the SQL of the own checks and jobs in the repository's atlas.hcl on the registry, in
// sessions like those of the daemon: checks resolve nothing by search_path, own jobs have the role's settings.
func TestOwnFileRuns(t *testing.T) {
	env, err := config.Load(config.LoadOptions{File: "../../atlas.hcl", Flags: config.Flags{URL: "postgres://app@db/registry"}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pg.Dedicated(t.Context(), registrytest.Database(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE TABLE public.requests PARTITION OF public.inference_requests DEFAULT")
	exec(`SET session_replication_role = replica;
		INSERT INTO public.inference_requests (deployment_id, request_id, status, created_at)
		SELECT 7, n::text, CASE WHEN n <= 3 THEN 'error' ELSE 'success' END, now() FROM generate_series(1, 12) AS n`)
	var object string
	var value float64
	if err := conn.QueryRow(t.Context(), env.Checks[0].SQL).Scan(&object, &value); err != nil || object != "deployment 7" || value != 0.25 {
		t.Errorf("the check says %q %v, %v", object, value, err)
	}
	exec("RESET ALL")
	exec("TRUNCATE public.inference_requests") // their deployment does not exist
	for _, p := range env.Partitions {
		exec("SELECT 'public." + p.Table.Name + "'::regclass")
	}
	for _, r := range env.Refreshes {
		exec("REFRESH MATERIALIZED VIEW " + pg.Ident(r.View.Schema, r.View.Name))
	}
	exec(env.Jobs[0].SQL)
}

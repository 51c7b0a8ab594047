package schema_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// registryEngine is the engine of the project's own atlas.hcl on a fresh database.
func registryEngine(t *testing.T) (*schema.Engine, *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	env, err := config.Load(config.LoadOptions{File: "../atlas.hcl", Getenv: func(string) string { return "" }, Flags: config.Flags{URL: url}})
	if err != nil {
		t.Fatal(err)
	}
	return schema.New(env, nil), pgtest.Session(t, url)
}

func mustPlan(t *testing.T, e *schema.Engine) *plan.Plan {
	t.Helper()
	p, err := e.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The whole registry from an empty database needs no hazard, and each of the changes by hand is found by name and put
// right without one, while rows and partitions stay.
func TestRegistryIsAppliedAndMended(t *testing.T) {
	t.Parallel()
	e, conn := registryEngine(t)
	report, err := e.SafeApply(t.Context(), schema.ApplyOptions{})
	if err != nil || len(report.Left) > 0 || report.Ran == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if p := mustPlan(t, e); !p.Empty() {
		t.Fatalf("the second plan has %d statements", len(p.Statements))
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`CREATE TABLE public.inference_requests_2026_01 PARTITION OF public.inference_requests FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		CREATE TABLE public.inference_requests_2026_02 PARTITION OF public.inference_requests FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`)
	for _, hand := range []struct{ sql, key, fact string }{
		{"DROP INDEX public.idx_training_runs_duration", "index public.training_runs.idx_training_runs_duration", ""},
		{"DROP INDEX public.mv_model_metrics_pkey", "index public.mv_model_metrics.mv_model_metrics_pkey", ""},
		{"DROP INDEX public.idx_inference_requests_status", "index public.inference_requests.idx_inference_requests_status", ""},
		{"ALTER TABLE public.model_versions DISABLE TRIGGER keep_released_version", "trigger public.model_versions.keep_released_version", "enabled"},
		{"CREATE OR REPLACE FUNCTION public.metric_recall(tp bigint, fn bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT 0.5'",
			"function public.metric_recall(bigint, bigint)", "definition"},
		{"ALTER TABLE public.training_runs DROP COLUMN duration, ADD COLUMN duration interval GENERATED ALWAYS AS (completed_at - started_at) STORED",
			"column public.training_runs.duration", "generated"},
	} {
		if !exists(t, conn, hand.sql) {
			t.Fatalf("the registry has changed: %s", hand.sql)
		}
		exec(hand.sql)
		drift, err := e.Drift(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		named := false
		for _, d := range drift.Differences {
			named = named || d.Key.String() == hand.key && (hand.fact == "" ||
				slices.ContainsFunc(d.Deltas, func(delta catalog.Delta) bool { return delta.Name == hand.fact }))
		}
		if !named {
			t.Errorf("%s\n is not named: %v", hand.sql, drift.Differences)
		}
		if _, err := e.Apply(t.Context(), mustPlan(t, e), schema.ApplyOptions{}); err != nil {
			t.Errorf("%s\n is not put right: %v", hand.sql, err)
		}
		if p := mustPlan(t, e); !p.Empty() {
			t.Errorf("%s\n is not put right", hand.sql)
		}
	}
}

// exists reports whether what the statement changes is there; a test that changes nothing would prove nothing.
func exists(t *testing.T, conn *pgx.Conn, sql string) bool {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), sql)
	return err == nil
}

func TestPlanFile(t *testing.T) {
	t.Parallel()
	e, _ := registryEngine(t)
	p := mustPlan(t, e)
	var file bytes.Buffer
	if err := p.JSON(&file); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	again, err := plan.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != p.Hash() {
		t.Error("the plan is another one after writing and reading")
	}
	if strings.Contains(text, "password") {
		t.Error("the plan file holds a password")
	}
	other, _ := registryEngine(t)
	_, err = other.Apply(t.Context(), again, schema.ApplyOptions{})
	var wrong *schema.OtherDatabaseError
	if !errors.As(err, &wrong) {
		t.Errorf("a plan for another database: %v", err)
	}
	if _, err := e.Apply(t.Context(), again, schema.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]string{
		"unknown field": strings.Replace(text, `"from"`, `"form"`, 1),
		"other format":  strings.Replace(text, `"format": 1`, `"format": 2`, 1),
		"two plans":     text + text,
		"no statement":  strings.Replace(text, `"sql": "CREATE`, `"sql": "", "x": "CREATE`, 1),
		"truncated":     text[:len(text)/2],
		"bad order":     strings.Replace(text, `"tx": 1`, `"tx": 1, "after": [99999]`, 1),
	} {
		if _, err := plan.Read(strings.NewReader(broken)); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

// The same plan comes out of the same databases, byte for byte.
func TestPlanIsDeterministic(t *testing.T) {
	t.Parallel()
	e, _ := registryEngine(t)
	first := mustPlan(t, e)
	for range 3 {
		if again := mustPlan(t, e); again.Hash() != first.Hash() {
			t.Fatal("another plan")
		}
	}
	if len(first.Hazards()) > 0 {
		t.Errorf("hazards on an empty database: %v", first.Hazards())
	}
}

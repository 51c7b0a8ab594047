package registry_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/pgtender/pgtender/schema/registry/registrytest"
)

//go:embed testdata/scale.sql
var scale string

// large gives the sample among 10,000 other models.
func large(t testing.TB) db {
	t.Helper()
	d := connect(t, registrytest.Sample(t))
	if _, err := d.PgConn().Exec(context.Background(), scale).ReadAll(); err != nil {
		t.Fatalf("scale.sql: %v", err)
	}
	d.do("VACUUM (ANALYZE)") // as autovacuum would
	return d
}

// severalTables matches queries that rightly use more than one index.
var severalTables = regexp.MustCompile(`JOIN|WITH|model_version_history|_comparison|_summary WHERE`)

// Each index earns its keep: the query that it is for uses it.
func TestQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	d := large(t)
	for _, c := range []struct{ index, query string }{
		// Models.
		{"idx_ai_models_type", "SELECT id FROM public.ai_models WHERE model_type = 'classification'"},
		{"idx_ai_models_framework", "SELECT id FROM public.ai_models WHERE model_framework = 'jax'"},
		{"idx_ai_models_created_at", "SELECT id, model_name FROM public.ai_models ORDER BY created_at DESC LIMIT 20"},
		{"idx_ai_models_type_framework", "SELECT * FROM public.ai_models WHERE model_type = 'classification' AND model_framework = 'pytorch'"},
		{"idx_ai_models_config", `SELECT id FROM public.ai_models WHERE config @> '{"owner": "team-7"}'`},
		{"idx_model_parameters_model_id", "SELECT * FROM public.model_parameters WHERE model_id = 1"},

		// Versions: all of a model, the newest first; the active one; those in production; both.
		{"idx_model_versions_model_id", `SELECT mv.version, mv.version_type, mv.performance_metrics, mv.is_active, mv.is_production, mv.created_at
			FROM public.model_versions AS mv WHERE mv.model_id = 1 ORDER BY mv.created_at DESC`},
		{"idx_model_versions_model_id", "SELECT * FROM public.model_version_history WHERE model_id = 1 ORDER BY created_at DESC"},
		{"idx_model_versions_active", "SELECT * FROM public.model_versions WHERE model_id = 1 AND is_active = TRUE"},
		{"idx_model_versions_active", "UPDATE public.model_versions SET is_active = FALSE WHERE model_id = 1 AND is_active = TRUE"},
		{"model_versions_model_id_version_key", "UPDATE public.model_versions SET is_active = TRUE WHERE model_id = 1 AND version = '1.0.0'"},
		{"idx_model_versions_model_id", `WITH current_version AS (SELECT version, created_at FROM public.model_versions WHERE model_id = 1 AND is_active = TRUE)
			SELECT version FROM public.model_versions
			WHERE model_id = 1 AND created_at < (SELECT created_at FROM current_version) ORDER BY created_at DESC LIMIT 1`},
		{"idx_model_versions_production", "SELECT * FROM public.model_versions WHERE model_id = 4 AND is_production = TRUE"},
		{"idx_model_versions_active_production", `SELECT * FROM public.model_versions
			WHERE model_id = 1 AND (is_active = TRUE OR is_production = TRUE) ORDER BY created_at DESC`},
		{"idx_model_versions_metrics", `SELECT id FROM public.model_versions WHERE performance_metrics @> '{"accuracy": 0.9131}'`},
		{"idx_model_version_tags_tag_name", "SELECT model_version_id FROM public.model_version_tags WHERE tag_name = 'production'"},

		// Datasets and training.
		{"idx_training_datasets_type", "SELECT * FROM public.training_datasets WHERE dataset_type = 'audio'"},
		{"idx_training_runs_model_version", "SELECT * FROM public.training_runs WHERE model_version_id = 1"},
		{"idx_training_runs_status", "SELECT * FROM public.training_runs WHERE status = 'running'"},
		{"idx_training_runs_started_at", "SELECT * FROM public.training_runs ORDER BY started_at DESC NULLS FIRST LIMIT 20"},
		{"idx_training_runs_started_at", "SELECT * FROM public.training_runs WHERE started_at > '2026-08-25 00:00+00'"},
		{"idx_training_runs_duration", "SELECT * FROM public.training_runs WHERE duration > interval '2 days' AND completed_at IS NOT NULL"},
		{"idx_training_runs_duration", "SELECT * FROM public.training_runs WHERE completed_at IS NOT NULL ORDER BY duration DESC LIMIT 10"},
		{"idx_training_runs_dataset", "SELECT * FROM public.training_runs WHERE dataset_id = 1002"},
		{"idx_training_records_model_version", "SELECT epoch, loss FROM public.training_records WHERE model_version_id = 5 ORDER BY created_at"},

		// Evaluation: all of a model, the newest first; versions compared.
		{"idx_model_evaluations_model_version", `SELECT mv.version, me.metric_name, me.metric_value, me.evaluated_at
			FROM public.model_versions AS mv JOIN public.model_evaluations AS me ON mv.id = me.model_version_id
			WHERE mv.model_id = 1 ORDER BY me.evaluated_at DESC`},
		{"idx_model_evaluations_model_version", `WITH version_metrics AS (
				SELECT mv.version, me.metric_name, avg(me.metric_value) AS avg_metric_value
				FROM public.model_versions AS mv JOIN public.model_evaluations AS me ON mv.id = me.model_version_id
				WHERE mv.model_id = 1 GROUP BY mv.version, me.metric_name)
			SELECT metric_name, jsonb_object_agg(version, avg_metric_value) AS version_comparison FROM version_metrics GROUP BY metric_name`},
		{"idx_model_evaluations_model_version", "SELECT * FROM public.model_evaluation_summary WHERE model_id = 1"},
		{"idx_model_evaluations_model_version", "SELECT * FROM public.model_version_comparison WHERE model_id = 1"},
		{"idx_model_evaluations_model_version", "SELECT * FROM public.model_metric_comparison WHERE model_id = 1"},
		{"idx_model_evaluations_type", "SELECT * FROM public.model_evaluations WHERE evaluation_type = 'mse'"},
		{"idx_model_evaluations_evaluated_at", "SELECT * FROM public.model_evaluations ORDER BY evaluated_at DESC LIMIT 50"},
		{"idx_model_evaluations_evaluated_at", "SELECT * FROM public.model_evaluations WHERE evaluated_at < '2024-02-01 00:00+00'"},

		// Deployment and requests.
		{"idx_model_deployments_model_version", "SELECT * FROM public.model_deployments WHERE model_version_id = 5"},
		{"idx_model_deployments_environment", "SELECT * FROM public.model_deployments WHERE environment_id = 2"},
		{"idx_model_deployments_status", "SELECT * FROM public.model_deployments WHERE deployment_status = 'failed'"},
		{"idx_model_deployments_active", "SELECT * FROM public.model_deployments WHERE model_version_id = 5 AND deployment_status = 'active'"},
		{"idx_inference_requests_deployment", "SELECT * FROM public.inference_requests WHERE deployment_id = 105 ORDER BY created_at DESC LIMIT 50"},
		{"idx_inference_requests_deployment", `SELECT count(*) FROM public.inference_requests
			WHERE deployment_id = 119 AND created_at >= '2026-08-01 00:00+00' AND created_at < '2026-08-03 00:00+00'`},
		{"idx_inference_requests_status", "SELECT * FROM public.inference_requests WHERE status = 'timeout' ORDER BY created_at DESC LIMIT 50"},
		{"idx_inference_requests_request_id", "SELECT * FROM public.inference_requests WHERE request_id = 'req-1-1'"},

		// Materialised views.
		{"mv_model_performance_summary_pkey", "SELECT * FROM public.mv_model_performance_summary WHERE model_id = 1"},
		{"mv_model_metrics_pkey", "SELECT * FROM public.mv_model_metrics WHERE model_id = 1"},
	} {
		used := d.indexesOf(c.query)
		if !slices.Contains(used, c.index) || len(used) > 1 && !severalTables.MatchString(c.query) {
			t.Errorf("%s\nuses %v, not %s", c.query, used, c.index)
		}
	}
}

// indexesOf returns the indexes that a query's plan uses; of a partition's index, its parent's.
func (d db) indexesOf(query string) []string {
	d.Helper()
	var plan any
	if err := json.Unmarshal(get[[]byte](d, "EXPLAIN (FORMAT JSON) "+query), &plan); err != nil {
		d.Fatal(err)
	}
	var names []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if name, ok := v["Index Name"].(string); ok {
				names = append(names, name)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(plan)
	return list[string](d, `SELECT DISTINCT r.relname::text FROM unnest($1::text[]) AS n
		JOIN pg_class AS c ON c.relname = n AND c.relnamespace = 'public'::regnamespace
		JOIN pg_class AS r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid) ORDER BY 1`, names)
}

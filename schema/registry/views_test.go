package registry_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// evaluated gives model 1 with two versions that were evaluated, and one that was not.
func evaluated(t testing.TB) db {
	t.Helper()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0", "2.0.0")
	d.model(2, "1.0.0")
	d.do(`INSERT INTO public.model_evaluations (model_version_id, evaluation_type, metric_name, metric_value, evaluated_at) VALUES
		(100, 'classification', 'accuracy', 0.50, '2026-01-01 00:00+00'),
		(100, 'classification', 'accuracy', 0.75, '2026-01-03 00:00+00'),
		(100, 'classification', 'accuracy', 0.25, '2026-01-02 00:00+00'),
		(100, 'classification', 'recall', 0.5, '2026-01-01 00:00+00'),
		(101, 'classification', 'accuracy', 0.75, '2026-02-01 00:00+00'),
		(200, 'classification', 'accuracy', 1, '2026-02-01 00:00+00')`)
	return d
}

func TestVersionViews(t *testing.T) {
	t.Parallel()
	d := evaluated(t)
	got := list[string](d, `SELECT format('%s %s %s %s %s %s', metric_name, version, avg_metric_value, previous_version, previous_avg_metric_value, change)
		FROM public.model_version_comparison WHERE model_id = 1 ORDER BY metric_name, version`)
	want := []string{"accuracy 1.0.0 0.5   ", "accuracy 1.1.0 0.75 1.0.0 0.5 0.25", "recall 1.0.0 0.5   "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("model_version_comparison (-want +got):\n%s", diff)
	}
	got = list[string](d, "SELECT metric_name || ' ' || version_comparison FROM public.model_metric_comparison WHERE model_id = 1 ORDER BY 1")
	want = []string{`accuracy {"1.0.0": 0.5, "1.1.0": 0.75}`, `recall {"1.0.0": 0.5}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("model_metric_comparison (-want +got):\n%s", diff)
	}
	got = list[string](d, "SELECT model_name || ' ' || version FROM public.model_version_history WHERE model_id = 1 ORDER BY created_at DESC")
	want = []string{"model-1 2.0.0", "model-1 1.1.0", "model-1 1.0.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("model_version_history (-want +got):\n%s", diff)
	}
}

func TestEvaluationViews(t *testing.T) {
	t.Parallel()
	d := evaluated(t)
	got := list[string](d, `SELECT format('%s %s n=%s avg=%s min=%s max=%s sd=%s last=%s %s', version, metric_name, evaluation_count, avg_metric_value,
			min_metric_value, max_metric_value, stddev_metric_value, last_metric_value, last_evaluated_at::date)
		FROM public.model_evaluation_summary WHERE model_id = 1 ORDER BY version, metric_name`)
	want := []string{
		"1.0.0 accuracy n=3 avg=0.5 min=0.25 max=0.75 sd=0.25 last=0.75 2026-01-03",
		"1.0.0 recall n=1 avg=0.5 min=0.5 max=0.5 sd= last=0.5 2026-01-01",
		"1.1.0 accuracy n=1 avg=0.75 min=0.75 max=0.75 sd= last=0.75 2026-02-01",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("model_evaluation_summary (-want +got):\n%s", diff)
	}
	got = list[string](d, "SELECT version || ' ' || metric_value FROM public.model_evaluation_history WHERE model_id = 1 ORDER BY evaluated_at DESC LIMIT 2")
	if diff := cmp.Diff([]string{"1.1.0 0.75", "1.0.0 0.75"}, got); diff != "" {
		t.Errorf("model_evaluation_history (-want +got):\n%s", diff)
	}
}

// Without its unique index, REFRESH … CONCURRENTLY is an error.
func TestMaterialisedViewsRefreshConcurrently(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0")
	d.model(2, "1.0.0")
	d.do(`UPDATE public.model_versions SET performance_metrics = '{"accuracy": 0.91, "f1_score": 0.5}', is_active = version = '1.0.0', is_production = true WHERE model_id = 1`)
	d.do(`UPDATE public.model_versions SET performance_metrics = '{"accuracy": "n/a", "f1_score": {"macro": 1}}', is_active = true WHERE model_id = 2`)
	views := []string{"mv_model_performance_summary", "mv_model_metrics"}
	for _, view := range views {
		d.do("REFRESH MATERIALIZED VIEW public." + view) // for the case that it was never populated
		d.do("REFRESH MATERIALIZED VIEW CONCURRENTLY public." + view)
	}
	got := list[string](d, "SELECT format('%s %s %s %s', model_id, version, accuracy, f1_score) FROM public.mv_model_metrics ORDER BY 1")
	if diff := cmp.Diff([]string{"1 1.0.0 0.91 0.5", "2 1.0.0  "}, got); diff != "" {
		t.Errorf("mv_model_metrics (-want +got):\n%s", diff)
	}
	got = list[string](d, "SELECT format('%s %s %s %s %s', model_id, model_type, version, accuracy, is_active) FROM public.mv_model_performance_summary ORDER BY 1")
	if diff := cmp.Diff([]string{"1 classification 1.0.0 0.91 t", "1 classification 1.1.0 0.91 f", "2 classification 1.0.0 n/a t"}, got); diff != "" {
		t.Errorf("mv_model_performance_summary (-want +got):\n%s", diff)
	}
	for _, view := range views {
		want(t, view+"'s key", get[string](d, `SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_index JOIN pg_attribute ON attrelid = indexrelid
			WHERE indrelid = to_regclass('public.' || $1::text) AND indisunique AND indpred IS NULL`, view), "model_id, version")
	}
}

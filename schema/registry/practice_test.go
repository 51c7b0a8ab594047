package registry_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const foreignKeyViolation = "23503"

func TestVersionTags(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0")
	d.do("INSERT INTO public.model_version_tags (model_version_id, tag_name) VALUES (100, 'production'), (100, 'baseline'), (101, 'experimental')")
	d.refused(uniqueViolation, "INSERT INTO public.model_version_tags (model_version_id, tag_name) VALUES (100, 'production')")
	d.refused(checkViolation, "INSERT INTO public.model_version_tags (model_version_id, tag_name) VALUES (100, 'Not a tag')")
	d.do("DELETE FROM public.model_versions WHERE id = 100")
	want(t, "tags left", get[string](d, "SELECT string_agg(tag_name, ' ') FROM public.model_version_tags"), "experimental")
}

func TestDatasetVersionsLineageAndQuality(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0")
	d.do("INSERT INTO public.training_datasets (id, dataset_name, dataset_type) VALUES (1, 'raw', 'text'), (2, 'clean', 'text')")
	d.do(`INSERT INTO public.dataset_versions (id, dataset_id, version, data_path, total_samples)
		VALUES (10, 1, '1.0.0', '/raw/1', 100), (20, 2, '1.0.0', '/clean/1', 90), (21, 2, '2.0.0', '/clean/2', 95)`)
	d.refused(uniqueViolation, "INSERT INTO public.dataset_versions (dataset_id, version, data_path, total_samples) VALUES (1, '1.0.0', '/x', 1)")

	step := "INSERT INTO public.dataset_lineage (dataset_version_id, step_number, source_dataset_version_id, source_uri, processing_step) VALUES ($1, $2, $3, $4, $5)"
	d.do(step, 10, 1, nil, "https://example.com/dump", "import")
	d.do(step, 20, 1, 10, nil, "filter")
	d.do(step, 21, 1, 20, nil, "deduplicate")
	d.do(step, 21, 2, nil, "https://example.com/labels", "label")
	d.refused(checkViolation, step, 21, 3, nil, nil, "from nowhere")
	d.refused(checkViolation, step, 21, 3, 10, "https://example.com", "from two places")
	d.refused(checkViolation, step, 21, 3, 21, nil, "from itself")
	ancestors := "SELECT format('%s %s %s %s', depth, dataset_version_id, source_uri, processing_step) FROM public.dataset_ancestors(21)"
	got := list[string](d, ancestors)
	wanted := []string{"1 20  deduplicate", "1  https://example.com/labels label", "2 10  filter", "3  https://example.com/dump import"}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("dataset_ancestors (-want +got):\n%s", diff)
	}
	d.do(step, 10, 2, 21, nil, "a circle") // wrong, but must not hang a reader
	if got := list[string](d, ancestors); len(got) > 10 {
		t.Errorf("ancestors in a circle: %v", got)
	}
	d.do("DELETE FROM public.dataset_lineage WHERE processing_step = 'a circle'")
	d.refused(foreignKeyViolation, "DELETE FROM public.dataset_versions WHERE id = 10")

	d.do("INSERT INTO public.dataset_quality_metrics (dataset_version_id, metric_name, metric_value, measured_at) VALUES (21, 'completeness', 0.98, '2026-01-01 00:00+00')")
	d.refused(checkViolation, "INSERT INTO public.dataset_quality_metrics (dataset_version_id, metric_name, metric_value) VALUES (21, 'completeness', 'NaN')")

	run := "INSERT INTO public.training_runs (model_version_id, dataset_id, dataset_version_id, status) VALUES (100, $1, $2, 'pending')"
	d.do(run, 2, 21)
	d.do(run, 2, nil)
	d.refused(foreignKeyViolation, run, 1, 21) // another dataset's version
}

func TestEvaluationSchedules(t *testing.T) {
	t.Parallel()
	d := empty(t)
	for id := 1; id <= 4; id++ {
		d.model(id, "1.0.0", "1.1.0")
		d.do("SELECT public.activate_model_version($1, '1.1.0')", id)
	}
	d.do("INSERT INTO public.training_datasets (id, dataset_name, dataset_type) VALUES (1, 'd', 'text'), (2, 'e', 'text')")
	d.do(`INSERT INTO public.evaluation_schedules (id, model_id, evaluation_dataset_id, evaluation_type, metric_name, evaluation_interval, is_active, created_at)
		SELECT n, n, 1, 'classification', 'f1', '7 days', n <> 4, now() - interval '1 year' FROM generate_series(1, 4) AS n`)
	d.refused(checkViolation, "UPDATE public.evaluation_schedules SET evaluation_interval = '0'")
	evaluate := `INSERT INTO public.model_evaluations (model_version_id, evaluation_dataset_id, evaluation_type, metric_name, metric_value, schedule_id, evaluated_at)
		VALUES ($1, $2, 'classification', $3, 0.9, $4, now() - $5::text::interval)`
	d.do(evaluate, 101, 1, "f1", 1, "6 days")
	d.do(evaluate, 201, 1, "f1", 2, "8 days")
	// Not what the schedule asks for: another version, metric, dataset.
	d.do(evaluate, 200, 1, "f1", nil, "1 day")
	d.do(evaluate, 201, 1, "recall", nil, "1 day")
	d.do(evaluate, 201, 2, "f1", nil, "1 day")
	// Model 3 was never evaluated, but released just now. Model 4's schedule is off.
	got := list[string](d, "SELECT model_id || ' ' || version || ' ' || is_overdue FROM public.evaluation_schedule_status ORDER BY 1")
	if diff := cmp.Diff([]string{"1 1.1.0 false", "2 1.1.0 true", "3 1.1.0 false"}, got); diff != "" {
		t.Errorf("evaluation_schedule_status (-want +got):\n%s", diff)
	}
	d.do("DELETE FROM public.evaluation_schedules WHERE id = 1")
	want(t, "evaluations that outlive their schedule", get[int](d, "SELECT count(*) FROM public.model_evaluations WHERE model_version_id = 101"), 1)
}

func TestAnomalyDetection(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.deployment(3)
	// Two weeks of 10 requests an hour to deployments 1 and 2; then a bad hour for the first, silence for the
	// second. Deployment 3 has two requests, both bad.
	d.do(`INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms, created_at)
		SELECT n, CASE WHEN m = 3 THEN 'error' ELSE 'success' END, 100, '2026-05-01 00:00+00'::timestamptz + h * interval '1 hour' + m * interval '1 minute'
		FROM generate_series(1, 2) AS n, generate_series(0, 335) AS h, generate_series(1, 20) AS m`)
	d.do(`INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms, created_at)
		SELECT n, CASE WHEN m % 2 = 0 OR n = 3 THEN 'error' WHEN m % 5 = 0 THEN 'timeout' ELSE 'success' END, 400, '2026-05-15 00:00+00'::timestamptz + m * interval '1 minute'
		FROM generate_series(1, 40) AS m, (VALUES (1), (3)) AS x (n) WHERE n = 1 OR m <= 2`)
	d.do(`INSERT INTO public.anomaly_rules (id, rule_name, metric_name, comparison, threshold, window_length, baseline_length, deployment_id) VALUES
		(1, 'errors', 'error_rate', 'above', 0.2, '1 hour', NULL, NULL),
		(2, 'timeouts', 'timeout_rate', 'above', 0.05, '1 hour', NULL, NULL),
		(3, 'slow', 'avg_response_time', 'above', 3, '1 hour', '7 days', NULL),
		(4, 'silent', 'request_rate', 'below', 0.1, '1 hour', '7 days', NULL),
		(5, 'never', 'error_rate', 'above', 0.9, '1 hour', NULL, NULL),
		(6, 'only 2', 'error_rate', 'above', 0.2, '1 hour', NULL, 2)`)
	found := func(at string) []string {
		d.do("CALL public.detect_inference_anomalies($1::text::timestamptz)", at)
		return list[string](d, `SELECT format('%s %s %s of %s, limit %s', r.rule_name, a.deployment_id, round(a.observed_value::numeric, 3), a.request_count, round(a.limit_value::numeric, 3))
			FROM public.inference_anomalies AS a JOIN public.anomaly_rules AS r ON r.id = a.rule_id ORDER BY a.rule_id, a.deployment_id`)
	}
	if got := found("2026-05-14 12:34+00"); len(got) > 0 {
		t.Errorf("anomalies in quiet times: %v", got)
	}
	wanted := []string{
		"errors 1 0.500 of 40, limit 0.200", "timeouts 1 0.100 of 40, limit 0.050", "slow 1 400.000 of 40, limit 300.000",
		"silent 2 0.000 of 0, limit 0.033",
	}
	for range 2 { // found once, however often it is looked for
		if diff := cmp.Diff(wanted, found("2026-05-15 01:00+00")); diff != "" {
			t.Errorf("anomalies (-want +got):\n%s", diff)
		}
	}
	// Late rows bring the figures up to date; what a person wrote stays.
	d.do("UPDATE public.inference_anomalies SET resolved_at = now(), notes = 'known'")
	d.do(`INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms, created_at) SELECT 1, 'error', 400, '2026-05-15 00:50+00' FROM generate_series(1, 10)`)
	wanted[0], wanted[1], wanted[2] = "errors 1 0.600 of 50, limit 0.200", "timeouts 1 0.080 of 50, limit 0.050", "slow 1 400.000 of 50, limit 300.000"
	if diff := cmp.Diff(wanted, found("2026-05-15 01:59+00")); diff != "" {
		t.Errorf("anomalies with late rows (-want +got):\n%s", diff)
	}
	want(t, "anomalies still settled", get[int](d, "SELECT count(*) FROM public.inference_anomalies WHERE notes = 'known' AND resolved_at IS NOT NULL"), 4)

	// A deployment that has ended is silent by right.
	d.do("DELETE FROM public.inference_anomalies")
	d.do("UPDATE public.model_deployments SET deployment_status = 'inactive', undeployed_at = '2026-05-15 00:30+00' WHERE id = 2")
	for _, a := range found("2026-05-15 01:00+00") {
		if strings.HasPrefix(a, "silent") {
			t.Errorf("a deployment that ended is called silent: %s", a)
		}
	}
	for _, bad := range []string{"window_length = '1 month'", "window_length = '10 seconds'", "baseline_length = '1 minute'", "threshold = 'NaN'", "metric_name = 'mood'"} {
		d.refused(checkViolation, "UPDATE public.anomaly_rules SET "+bad+" WHERE id = 1")
	}
}

func TestABTests(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.model(9, "1.0.0", "1.1.0")
	d.do(`INSERT INTO public.model_deployments (id, model_version_id, environment_id, deployment_status) VALUES (10, 900, 1, 'active'), (11, 901, 1, 'active')`)
	d.do("INSERT INTO public.ab_tests (id, test_name, model_id, environment_id, primary_metric) VALUES (1, 'a', 9, 1, 'error_rate')")
	variant := "INSERT INTO public.ab_test_variants (ab_test_id, variant_name, deployment_id, traffic_percent, is_control) VALUES (1, $1, $2, $3, $4)"
	start := "UPDATE public.ab_tests SET status = 'running', started_at = '2026-05-01 09:30+00' WHERE id = 1"
	d.do(variant, "control", 10, 60, true)
	d.refused(checkViolation, start) // 60 %
	d.do(variant, "candidate", 11, 40, false)
	d.refused(checkViolation, "UPDATE public.ab_tests SET status = 'running'") // since when?
	d.do(start)

	// A running test stays whole. Shares may be moved in one transaction.
	d.refused(checkViolation, "UPDATE public.ab_test_variants SET traffic_percent = 50 WHERE variant_name = 'control'")
	d.refused(checkViolation, "DELETE FROM public.ab_test_variants WHERE variant_name = 'candidate'")
	d.refused(checkViolation, "UPDATE public.ab_test_variants SET is_control = false")
	d.refused(checkViolation, "UPDATE public.ab_test_variants SET deployment_id = 1 WHERE variant_name = 'candidate'") // another model
	d.refused(uniqueViolation, "UPDATE public.ab_test_variants SET is_control = true")
	d.do("BEGIN")
	d.do("UPDATE public.ab_test_variants SET traffic_percent = 50 WHERE variant_name = 'control'")
	d.do("UPDATE public.ab_test_variants SET traffic_percent = 50 WHERE variant_name = 'candidate'")
	d.do("COMMIT")

	for _, r := range []struct {
		deployment int
		status, at string
	}{
		{10, "error", "2026-05-01 09:45+00"}, // not a whole hour of the test
		{10, "success", "2026-05-01 10:00+00"},
		{10, "error", "2026-05-01 10:30+00"},
		{11, "success", "2026-05-01 11:59+00"},
		{11, "timeout", "2026-05-01 12:00+00"}, // the test ends at 12:30
	} {
		d.request(r.deployment, r.status, 10, r.at)
	}
	d.do("CALL public.roll_up_deployments()")
	d.do("UPDATE public.ab_tests SET status = 'completed', ended_at = '2026-05-01 12:30+00'")
	d.do("UPDATE public.ab_test_variants SET is_winner = true WHERE variant_name = 'candidate'")
	d.refused(uniqueViolation, "UPDATE public.ab_test_variants SET is_winner = true")
	got := list[string](d, "SELECT format('%s %s %s %s %s', variant_name, request_count, error_count, error_rate, avg_response_time) FROM public.ab_test_results ORDER BY 1")
	if diff := cmp.Diff([]string{"candidate 1 0 0 10", "control 2 1 0.5 10"}, got); diff != "" {
		t.Errorf("ab_test_results (-want +got):\n%s", diff)
	}
	d.do("DELETE FROM public.ab_tests")
	want(t, "variants left", get[int](d, "SELECT count(*) FROM public.ab_test_variants"), 0)
}

// Two transactions that each take half of a running test away: the second is refused.
func TestABTestIsWholeUnderConcurrency(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.model(9, "1.0.0", "1.1.0")
	d.do(`INSERT INTO public.model_deployments (id, model_version_id, environment_id, deployment_status) VALUES (10, 900, 1, 'active'), (11, 901, 1, 'active')`)
	d.do("INSERT INTO public.ab_tests (id, test_name, model_id, environment_id, primary_metric) VALUES (1, 'a', 9, 1, 'error_rate')")
	d.do(`INSERT INTO public.ab_test_variants (ab_test_id, variant_name, deployment_id, traffic_percent, is_control) VALUES (1, 'a', 10, 50, true), (1, 'b', 11, 50, false)`)
	other := d.second()
	for _, session := range []db{d, other} {
		session.do("BEGIN")
	}
	d.do("UPDATE public.ab_tests SET status = 'running', started_at = now()")
	other.do("DELETE FROM public.ab_test_variants WHERE variant_name = 'b'")
	done := make(chan error, 1)
	go func() {
		_, err := other.Exec(context.Background(), "COMMIT")
		done <- err
	}()
	pgtest.Eventually(t, d.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1)", other.PgConn().PID())
	d.do("COMMIT")
	if err := <-done; !pg.Is(err, checkViolation) {
		t.Errorf("half a test was committed: %v", err)
	}
}

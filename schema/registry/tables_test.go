package registry_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/schema/registry"
)

// The columns that users of the registry know, by table.
func TestColumns(t *testing.T) {
	t.Parallel()
	d := empty(t)
	for table, columns := range map[string]string{
		"ai_models":               "id integer, model_name character varying(255), model_type character varying(50), model_framework character varying(50), description text, input_dimension integer, output_dimension integer, model_path text, config jsonb, metadata jsonb, created_at timestamp with time zone, updated_at timestamp with time zone",
		"model_parameters":        "id integer, model_id integer, parameter_name character varying(255), parameter_value text, parameter_type character varying(50), description text, created_at timestamp with time zone",
		"model_versions":          "id integer, model_id integer, version character varying(50), version_type character varying(20), model_file_path text, checksum character varying(64), training_config jsonb, performance_metrics jsonb, is_active boolean, is_production boolean, created_at timestamp with time zone, created_by character varying(255), notes text, released_at timestamp with time zone",
		"training_datasets":       "id integer, dataset_name character varying(255), dataset_type character varying(50), description text, data_path text, total_samples integer, train_samples integer, validation_samples integer, test_samples integer, metadata jsonb, created_at timestamp with time zone",
		"training_runs":           "id integer, model_version_id integer, dataset_id integer, run_name character varying(255), status character varying(20), started_at timestamp with time zone, completed_at timestamp with time zone, duration interval, training_config jsonb, hyperparameters jsonb, training_loss jsonb, validation_loss jsonb, metrics jsonb, error_message text, created_at timestamp with time zone, created_by character varying(255), dataset_version_id integer",
		"training_records":        "id bigint, model_version_id integer, epoch integer, loss double precision, metrics jsonb, created_at timestamp with time zone",
		"model_evaluations":       "id integer, model_version_id integer, evaluation_dataset_id integer, evaluation_type character varying(50), metric_name character varying(100), metric_value double precision, evaluation_config jsonb, evaluated_at timestamp with time zone, notes text, schedule_id integer",
		"deployment_environments": "id integer, environment_name character varying(100), environment_type character varying(50), endpoint_url text, api_key_ref character varying(255), config jsonb, is_active boolean, created_at timestamp with time zone, updated_at timestamp with time zone",
		"model_deployments":       "id integer, model_version_id integer, environment_id integer, deployment_status character varying(20), deployed_at timestamp with time zone, undeployed_at timestamp with time zone, deployment_config jsonb, health_check_url text, last_health_check timestamp with time zone, health_status character varying(20), request_count bigint, error_count bigint, avg_response_time numeric(13,3), created_at timestamp with time zone, created_by character varying(255)",
		"inference_requests":      "id bigint, deployment_id integer, request_id character varying(255), input_data jsonb, output_data jsonb, processing_time_ms integer, status character varying(20), error_message text, created_at timestamp with time zone",
		"model_file_paths":        "id integer, path_pattern character varying(500), storage_type character varying(50), is_active boolean, created_at timestamp with time zone",
	} {
		got := get[string](d, `SELECT coalesce(string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum), '')
			FROM pg_attribute WHERE attrelid = to_regclass('public.' || $1) AND attnum > 0`, table)
		if diff := cmp.Diff(strings.Split(columns, ", "), strings.Split(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
}

// Both logs are partitioned by time and come without a partition: those of any fixed month would
// soon be behind, and rows beyond them refused.
func TestLogsArePartitionedWithoutPartitions(t *testing.T) {
	t.Parallel()
	d := empty(t)
	got := list[string](d, "SELECT partrelid::regclass || ' ' || pg_get_partkeydef(partrelid) FROM pg_partitioned_table ORDER BY 1")
	want := []string{"public.inference_requests RANGE (created_at)", "public.training_records RANGE (created_at)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitioned tables (-want +got):\n%s", diff)
	}
	if got := list[string](d, "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"); len(got) > 0 {
		t.Errorf("partitions are declared: %v", got)
	}
}

func TestRequestIDIsUniquePerTimestamp(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.deployment(1)
	d.do("CREATE TABLE public.inference_requests_all PARTITION OF public.inference_requests DEFAULT")
	insert := "INSERT INTO public.inference_requests (deployment_id, request_id, status, created_at) VALUES (1, 'a', 'success', $1::text::timestamptz)"
	d.do(insert, "2026-01-01 00:00+00")
	d.refused(uniqueViolation, insert, "2026-01-01 00:00+00")
	d.do(insert, "2026-01-01 00:01+00")
	want(t, "requests named a", get[int](d, "SELECT count(*) FROM public.inference_requests WHERE request_id = 'a'"), 2)
}

// Were it STORED, or a plain column, this would still compute the same.
func TestDurationIsVirtual(t *testing.T) {
	t.Parallel()
	d := empty(t)
	want(t, "kind of training_runs.duration", get[string](d, `SELECT attgenerated::text FROM pg_attribute
		WHERE attrelid = 'public.training_runs'::regclass AND attname = 'duration'`), "v")
	d.model(1, "1.0.0")
	d.do("INSERT INTO public.training_datasets (id, dataset_name, dataset_type) VALUES (1, 'd', 'text')")
	d.do(`INSERT INTO public.training_runs (model_version_id, dataset_id, status, started_at, completed_at)
		VALUES (100, 1, 'completed', '2026-01-01 10:00+00', '2026-01-01 12:30+00'), (100, 1, 'running', '2026-01-02 10:00+00', NULL)`)
	got := list[*string](d, "SELECT duration::text FROM public.training_runs ORDER BY id")
	if got[0] == nil || *got[0] != "02:30:00" || got[1] != nil {
		t.Errorf("durations: got %v", got)
	}
	d.refused(checkViolation, "UPDATE public.training_runs SET completed_at = started_at - interval '1 second'")
}

func TestMetricValueHoldsEveryMetric(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0")
	insert := `INSERT INTO public.model_evaluations (model_version_id, evaluation_type, metric_name, metric_value)
		VALUES (100, 'regression', 'mse', $1::float8) RETURNING metric_value`
	for _, value := range []float64{10_000, 1e12, 0.1234567890123, -4.5, 0} {
		want(t, "metric_value", get[float64](d, insert, value), value)
	}
	for _, value := range []string{"NaN", "Infinity", "-Infinity"} {
		d.refused(checkViolation, "INSERT INTO public.model_evaluations (model_version_id, evaluation_type, metric_name, metric_value) "+
			"VALUES (100, 'regression', 'mse', '"+value+"')")
	}
}

func TestEnvironmentKeepsNoSecret(t *testing.T) {
	t.Parallel()
	d := empty(t)
	insert := "INSERT INTO public.deployment_environments (environment_name, environment_type, api_key_ref) VALUES ($1, 'production', $2)"
	for _, ref := range []string{"vault://models/prod#api_key", "env://PROD_API_KEY", "aws-sm://eu-west-1/models/prod"} {
		d.do(insert, ref, ref)
	}
	for _, secret := range []string{"sk-live-0123456789abcdef", "AIzaSyD-0123456789", "Bearer abc.def.ghi", ""} {
		d.refused(checkViolation, insert, secret, secret)
	}
	if got := list[string](d, `SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
		WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND attname ~ '(api_?key|secret|password|token)$'`); len(got) > 0 {
		t.Errorf("columns for secrets: %v", got)
	}
}

func TestSplitsNeverExceedTheTotal(t *testing.T) {
	t.Parallel()
	d := empty(t)
	insert := "INSERT INTO public.training_datasets (dataset_name, dataset_type, total_samples, train_samples, validation_samples, test_samples) VALUES (gen_random_uuid()::text, 'text', $1, $2, $3, $4)"
	for _, fits := range [][]any{{100, 80, 10, 10}, {100, 80, 10, nil}, {100, nil, nil, nil}, {nil, 80, 10, 10}, {nil, nil, nil, nil}, {0, 0, 0, 0}} {
		d.do(insert, fits...)
	}
	for _, over := range [][]any{{100, 80, 11, 10}, {100, 101, nil, nil}, {100, -1, 0, 0}, {-1, nil, nil, nil}, {2147483647, 2147483647, 2147483647, 1}} {
		d.refused(checkViolation, insert, over...)
	}
	d.do("INSERT INTO public.training_datasets (id, dataset_name, dataset_type) VALUES (1000, 'd', 'text')")
	version := "INSERT INTO public.dataset_versions (dataset_id, version, data_path, total_samples, train_samples, validation_samples, test_samples) VALUES (1000, gen_random_uuid()::text, '/d', 100, $1, $2, $3)"
	d.do(version, 80, 10, 10)
	d.refused(checkViolation, version, 80, 11, 10)
}

func TestUpdatedAtFollowsChanges(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.do("INSERT INTO public.ai_models (id, model_name, model_type, updated_at) VALUES (1, 'm', 'embedding', now() - interval '1 day')")
	d.do("INSERT INTO public.deployment_environments (id, environment_name, environment_type, updated_at) VALUES (1, 'e', 'staging', now() - interval '1 day')")
	for table, column := range map[string]string{"ai_models": "description", "deployment_environments": "endpoint_url"} {
		old := "SELECT updated_at < now() - interval '23 hours' FROM public." + table
		d.do("UPDATE public." + table + " SET " + column + " = " + column)
		want(t, table+" is untouched by an update that changes nothing", get[bool](d, old), true)
		d.do("UPDATE public." + table + " SET " + column + " = 'x'")
		want(t, table+" is untouched by a change", get[bool](d, old), false)
	}
}

// What lets a later reader understand the schema from psql alone.
func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	d := empty(t)
	for what, query := range map[string]string{
		"tables and views": `SELECT oid::regclass::text FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND obj_description(oid, 'pg_class') IS NULL`,
		"columns of tables": `SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND col_description(attrelid, attnum) IS NULL`,
		"functions": `SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL`,
	} {
		if got := list[string](d, query); len(got) > 0 {
			t.Errorf("%s without a comment: %v", what, got)
		}
	}
}

func TestForeignKeysHaveIndexes(t *testing.T) {
	t.Parallel()
	d := empty(t)
	if got := list[string](d, `SELECT conrelid::regclass || ': ' || conname FROM pg_constraint AS c
		WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
			SELECT FROM pg_index AS i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])`); len(got) > 0 {
		t.Errorf("foreign keys without an index: %v", got)
	}
}

// The registry declares tables and code. It sets no server setting and promises no speed.
func TestSourcesLeaveTheServerAlone(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)alter\s+system|pg_reload_conf|io_direct|io_combine_limit|set_config\(`)
	entries, err := registry.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		text, err := registry.Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.Find(text); found != nil {
			t.Errorf("%s: %s", e.Name(), found)
		}
		if strings.Contains(string(text), "SELECT *\n") || (e.Name() == "views.sql" && strings.Contains(string(text), "*\nFROM")) {
			t.Errorf("%s: columns must be named", e.Name())
		}
	}
	if !slices.Contains(names, "tables.hcl") || !slices.Contains(names, "routines.sql") {
		t.Errorf("embedded files: %v", names)
	}
}

package registry_test

import "testing"

// Objects planted first in the search path must not be used by anything of the registry.
func TestHostileSearchPath(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.deployment(1)
	d.deployment(2)
	d.do("CREATE TABLE public.inference_requests_all PARTITION OF public.inference_requests DEFAULT")
	d.do("CREATE SCHEMA evil")
	for _, sql := range []string{
		// Each of these does harm when called.
		"CREATE FUNCTION evil.boom() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$",
		"CREATE FUNCTION evil.eq(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT evil.boom()'",
		"CREATE OPERATOR evil.= (FUNCTION = evil.eq, LEFTARG = integer, RIGHTARG = integer)",
		"CREATE FUNCTION evil.lt(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT evil.boom()'",
		"CREATE OPERATOR evil.> (FUNCTION = evil.lt, LEFTARG = bigint, RIGHTARG = bigint)",
		"CREATE FUNCTION evil.matches(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.boom()'",
		"CREATE OPERATOR evil.~ (FUNCTION = evil.matches, LEFTARG = text, RIGHTARG = text)",
		"CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.boom(); SELECT NULL::timestamptz'",
		"CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.boom(); SELECT NULL::timestamptz'",
		"CREATE FUNCTION evil.date_trunc(text, timestamptz, text) RETURNS timestamptz LANGUAGE sql AS 'SELECT evil.boom(); SELECT NULL::timestamptz'",
		"CREATE TABLE evil.model_versions (id integer)",
		"CREATE TABLE evil.inference_requests (id integer)",
		"CREATE TEMPORARY TABLE model_deployments (id integer)",
		"SET search_path = evil, public, pg_catalog",
	} {
		d.do(sql)
	}
	d.do("INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms) VALUES (1, 'success', 10), (1, 'error', 20)")
	d.do("CALL public.roll_up_deployments()")
	d.do("CALL roll_up_deployments(recount => true)")
	d.do("CALL public.detect_inference_anomalies()")
	d.do("INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('local', '^/models/')")
	d.do("INSERT INTO public.model_versions (id, model_id, version, version_type, model_file_path) VALUES (3, 1, '2.0.0', 'major', '/models/m/2.0.0/model.pt')")
	d.do("SELECT public.activate_model_version(1, '2.0.0')")
	d.do("SELECT public.roll_back_model_version(1)")
	d.do("UPDATE public.ai_models SET description = 'x'")
	d.do("SELECT public.metric_f1(1, 2, 3), public.metric_r2('{1, 2}', '{2, 1}'), public.dataset_ancestors(1)")
	d.do("REFRESH MATERIALIZED VIEW public.mv_model_metrics")
	d.do("SET search_path = ''")
	want(t, "requests counted", get[int](d, "SELECT request_count::integer FROM public.model_deployments WHERE id = 1"), 2)
	want(t, "active version", get[string](d, activeVersions, 1), "1.0.0")

	if got := list[string](d, `SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)`); len(got) > 0 {
		t.Errorf("functions that trust the caller's search_path: %v", got)
	}
}

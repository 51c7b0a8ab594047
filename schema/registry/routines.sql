-- Functions and procedures. Every one sets its search_path and names its tables in full, so what it
-- calls does not depend on the caller's path.

-- ---------------------------------------------------------------------------------------------------
-- Model files
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.model_path_storage_type(path text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN path ~ '^/' THEN 'local'
                WHEN path ~ '^s3://' THEN 's3'
                WHEN path ~ '^gs://' THEN 'gcs'
           END
$$;
COMMENT ON FUNCTION public.model_path_storage_type(text) IS
    'The storage that a path names: local, s3 or gcs; NULL for any other';

-- Called by a CHECK, so it is immutable and looks at nothing but the path; which buckets and folders a
-- site allows is in model_file_paths and is enforced by a trigger.
CREATE FUNCTION public.validate_model_path(path text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE public.model_path_storage_type(path)
               WHEN 'local' THEN path ~ '^/models/[a-zA-Z0-9_-]+/[0-9]+\.[0-9]+\.[0-9]+/model\.(pkl|onnx|pt)$'
               WHEN 's3'    THEN path ~ '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[a-zA-Z0-9_-]+)+/[0-9]+\.[0-9]+\.[0-9]+/model\.(pkl|onnx|pt)$'
               WHEN 'gcs'   THEN path ~ '^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[a-zA-Z0-9_-]+)+/[0-9]+\.[0-9]+\.[0-9]+/model\.(pkl|onnx|pt)$'
               ELSE false
           END
$$;
COMMENT ON FUNCTION public.validate_model_path(text) IS
    'Whether a path is well formed: /models/MODEL/X.Y.Z/model.EXT, s3://BUCKET/[.../]MODEL/X.Y.Z/model.EXT or gs://..., EXT being pkl, onnx or pt';

-- ---------------------------------------------------------------------------------------------------
-- The active version
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.activate_model_version(p_model_id integer, p_version text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    -- One change of the active version at a time, for each model.
    PERFORM FROM public.ai_models WHERE id = p_model_id FOR NO KEY UPDATE;

    SELECT id INTO v_id
    FROM public.model_versions
    WHERE model_id = p_model_id AND version = p_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version % of model % does not exist', p_version, p_model_id
            USING ERRCODE = 'no_data_found';
    END IF;

    UPDATE public.model_versions SET is_active = false WHERE model_id = p_model_id AND is_active AND id <> v_id;
    UPDATE public.model_versions SET is_active = true WHERE id = v_id AND NOT is_active;
    RETURN p_version;
END
$$;
COMMENT ON FUNCTION public.activate_model_version(integer, text) IS
    'Makes one version of a model the active one and any other inactive; returns its name. Error no_data_found: there is no such version';

CREATE FUNCTION public.roll_back_model_version(p_model_id integer)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_version text;
BEGIN
    PERFORM FROM public.ai_models WHERE id = p_model_id FOR NO KEY UPDATE;

    SELECT older.version INTO v_version
    FROM public.model_versions AS active
    JOIN public.model_versions AS older
      ON older.model_id = active.model_id AND (older.created_at, older.id) < (active.created_at, active.id)
    WHERE active.model_id = p_model_id AND active.is_active
    ORDER BY older.created_at DESC, older.id DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % has no version to roll back to', p_model_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'No version is active, or none is older than the active one.';
    END IF;
    RETURN public.activate_model_version(p_model_id, v_version);
END
$$;
COMMENT ON FUNCTION public.roll_back_model_version(integer) IS
    'Activates the version registered just before the active one; returns its name. Error object_not_in_prerequisite_state: there is nothing to roll back to';

-- ---------------------------------------------------------------------------------------------------
-- Datasets
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.dataset_ancestors(p_dataset_version_id integer)
RETURNS TABLE (depth integer, dataset_version_id integer, source_uri text, processing_step varchar, processed_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE origin AS (
        SELECT 1 AS depth, l.source_dataset_version_id, l.source_uri, l.processing_step, l.processed_at
        FROM public.dataset_lineage AS l
        WHERE l.dataset_version_id = p_dataset_version_id
        UNION ALL
        SELECT o.depth + 1, l.source_dataset_version_id, l.source_uri, l.processing_step, l.processed_at
        FROM origin AS o
        JOIN public.dataset_lineage AS l ON l.dataset_version_id = o.source_dataset_version_id
    ) CYCLE source_dataset_version_id SET is_cycle USING path
    SELECT o.depth, o.source_dataset_version_id, o.source_uri, o.processing_step, o.processed_at
    FROM origin AS o
    WHERE NOT o.is_cycle
    ORDER BY o.depth, o.processed_at, o.source_dataset_version_id, o.source_uri
$$;
COMMENT ON FUNCTION public.dataset_ancestors(integer) IS
    'Everything that a dataset version was made from, directly (depth 1) or by way of other versions';

-- ---------------------------------------------------------------------------------------------------
-- Monitoring
-- ---------------------------------------------------------------------------------------------------

-- Counts requests by deployment and hour into deployment_request_stats, then sums those up into
-- model_deployments. Nothing is added to an old count: an hour with new rows is counted anew, so
-- running this twice, or again after a crash, gives the same numbers.
--
-- Which hours have new rows? Those of requests with an id beyond counted_id. A request whose
-- transaction is still open is not seen yet although later ids are; so the highest id seen is only
-- noted (pending_id) and becomes counted_id in a later run, when every transaction that was open at
-- the time has ended. Until then its rows are looked at again, which changes nothing. Late rows,
-- dated long before they are logged, are found by their id like any other.
--
-- Archived months: the hours of a month that has left inference_requests are not counted again, so
-- their counts stay. Nor is an hour's count ever lowered: of an hour whose requests are being
-- archived row by row, the count from before is the right one.
--
-- Requests that were changed after they had been counted, or that were put back under an old id:
-- CALL roll_up_deployments(recount => true) counts every hour that is in inference_requests.
CREATE PROCEDURE public.roll_up_deployments(recount boolean DEFAULT false)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_state   public.deployment_roll_up_state;
    v_settled boolean;
    v_seen    bigint;
    v_xmax    xid8;
    v_changed integer[];
BEGIN
    -- One roll-up at a time: a second one waits for the row.
    INSERT INTO public.deployment_roll_up_state DEFAULT VALUES ON CONFLICT DO NOTHING;
    SELECT * INTO v_state FROM public.deployment_roll_up_state FOR UPDATE;

    -- The minute is for a transaction that had drawn an id but not written anything yet. A pending_xmax
    -- in the future was noted on another server, before a dump and restore, and tells nothing here.
    v_xmax := pg_snapshot_xmax(pg_current_snapshot());
    v_settled := v_state.pending_xmax <= pg_snapshot_xmin(pg_current_snapshot())
                 AND v_state.pending_at <= now() - interval '1 minute';
    IF v_settled THEN
        v_state.counted_id := greatest(v_state.counted_id, v_state.pending_id);
    END IF;

    -- Noted before the rows are read, so what commits in between is looked at again.
    SELECT coalesce(max(r.id), 0) INTO v_seen FROM public.inference_requests AS r;
    IF v_seen < v_state.counted_id THEN
        -- The newest requests have gone, or ids have begun anew (TRUNCATE ... RESTART IDENTITY): count all.
        v_state.counted_id := 0;
        v_state.pending_xmax := NULL;
    END IF;
    IF v_settled OR v_state.pending_xmax IS NULL OR v_state.pending_xmax > v_xmax THEN
        v_state.pending_id := v_seen;
        v_state.pending_xmax := v_xmax;
        v_state.pending_at := now();
    END IF;

    IF recount OR v_state.counted_id = 0 THEN
        WITH fresh AS (
            SELECT r.deployment_id, date_trunc('hour', r.created_at, 'UTC') AS period_start,
                   count(*) AS request_count,
                   count(*) FILTER (WHERE r.status = 'error') AS error_count,
                   count(*) FILTER (WHERE r.status = 'timeout') AS timeout_count,
                   count(r.processing_time_ms) AS timed_count,
                   coalesce(sum(r.processing_time_ms), 0) AS total_time_ms
            FROM public.inference_requests AS r
            GROUP BY 1, 2
        ), changed AS (
            INSERT INTO public.deployment_request_stats AS s
                   (deployment_id, period_start, request_count, error_count, timeout_count, timed_count, total_time_ms)
            SELECT f.deployment_id, f.period_start, f.request_count, f.error_count, f.timeout_count, f.timed_count, f.total_time_ms
            FROM fresh AS f
            ON CONFLICT (deployment_id, period_start) DO UPDATE
            SET request_count = excluded.request_count, error_count = excluded.error_count, timeout_count = excluded.timeout_count,
                timed_count = excluded.timed_count, total_time_ms = excluded.total_time_ms
            WHERE excluded.request_count >= s.request_count
              AND (excluded.request_count, excluded.error_count, excluded.timeout_count, excluded.timed_count, excluded.total_time_ms)
                  IS DISTINCT FROM (s.request_count, s.error_count, s.timeout_count, s.timed_count, s.total_time_ms)
            RETURNING s.deployment_id
        )
        SELECT array_agg(DISTINCT c.deployment_id) INTO v_changed FROM changed AS c;
    ELSE
        WITH touched AS (
            SELECT DISTINCT r.deployment_id, date_trunc('hour', r.created_at, 'UTC') AS period_start
            FROM public.inference_requests AS r
            WHERE r.id > v_state.counted_id
        ), changed AS (
            INSERT INTO public.deployment_request_stats AS s
                   (deployment_id, period_start, request_count, error_count, timeout_count, timed_count, total_time_ms)
            SELECT t.deployment_id, t.period_start, f.request_count, f.error_count, f.timeout_count, f.timed_count, f.total_time_ms
            FROM touched AS t
            CROSS JOIN LATERAL (
                SELECT count(*) AS request_count,
                       count(*) FILTER (WHERE r.status = 'error') AS error_count,
                       count(*) FILTER (WHERE r.status = 'timeout') AS timeout_count,
                       count(r.processing_time_ms) AS timed_count,
                       coalesce(sum(r.processing_time_ms), 0) AS total_time_ms
                FROM public.inference_requests AS r
                WHERE r.deployment_id = t.deployment_id
                  AND r.created_at >= t.period_start AND r.created_at < t.period_start + interval '1 hour'
            ) AS f
            ON CONFLICT (deployment_id, period_start) DO UPDATE
            SET request_count = excluded.request_count, error_count = excluded.error_count, timeout_count = excluded.timeout_count,
                timed_count = excluded.timed_count, total_time_ms = excluded.total_time_ms
            WHERE excluded.request_count >= s.request_count
              AND (excluded.request_count, excluded.error_count, excluded.timeout_count, excluded.timed_count, excluded.total_time_ms)
                  IS DISTINCT FROM (s.request_count, s.error_count, s.timeout_count, s.timed_count, s.total_time_ms)
            RETURNING s.deployment_id
        )
        SELECT array_agg(DISTINCT c.deployment_id) INTO v_changed FROM changed AS c;
    END IF;

    UPDATE public.model_deployments AS d
    SET request_count = t.request_count, error_count = t.error_count, avg_response_time = t.avg_response_time
    FROM (
        SELECT s.deployment_id, sum(s.request_count)::bigint AS request_count,
               sum(s.error_count + s.timeout_count)::bigint AS error_count,
               round(sum(s.total_time_ms) / nullif(sum(s.timed_count), 0), 3) AS avg_response_time
        FROM public.deployment_request_stats AS s
        WHERE recount OR s.deployment_id = ANY (v_changed)
        GROUP BY s.deployment_id
    ) AS t
    WHERE d.id = t.deployment_id
      AND (d.request_count, d.error_count, d.avg_response_time) IS DISTINCT FROM (t.request_count, t.error_count, t.avg_response_time);

    UPDATE public.deployment_roll_up_state AS s
    SET counted_id = v_state.counted_id, pending_id = v_state.pending_id,
        pending_xmax = v_state.pending_xmax, pending_at = v_state.pending_at
    WHERE (s.counted_id, s.pending_id, s.pending_xmax, s.pending_at)
          IS DISTINCT FROM (v_state.counted_id, v_state.pending_id, v_state.pending_xmax, v_state.pending_at);
END
$$;
COMMENT ON PROCEDURE public.roll_up_deployments(boolean) IS
    'Fills request_count, error_count and avg_response_time of model_deployments from inference_requests; run by an own job';

CREATE FUNCTION public.inference_metric(p_deployment_id integer, p_metric_name text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (metric_value double precision, request_count bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_metric_name
               WHEN 'error_rate' THEN count(*) FILTER (WHERE r.status = 'error') / nullif(count(*), 0)::float8
               WHEN 'timeout_rate' THEN count(*) FILTER (WHERE r.status = 'timeout') / nullif(count(*), 0)::float8
               WHEN 'avg_response_time' THEN avg(r.processing_time_ms)::float8
               WHEN 'request_rate' THEN count(*) * 60 / nullif(extract(epoch FROM p_to - p_from), 0)::float8
           END,
           count(*)
    FROM public.inference_requests AS r
    WHERE r.deployment_id = p_deployment_id AND r.created_at >= p_from AND r.created_at < p_to
$$;
COMMENT ON FUNCTION public.inference_metric(integer, text, timestamptz, timestamptz) IS
    'A metric of anomaly_rules over a span of time, and the number of requests in it; NULL when it is not defined';

-- Looks at the last whole window of each rule before p_at, at the deployments that served all through it. Run it at least once a window; running it
-- again finds the same anomalies and only brings their figures up to date.
CREATE PROCEDURE public.detect_inference_anomalies(p_at timestamptz DEFAULT now())
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    INSERT INTO public.inference_anomalies AS a
           (rule_id, deployment_id, window_start, window_end, observed_value, limit_value, request_count)
    SELECT r.id, d.id, w.stop - r.window_length, w.stop, o.metric_value, l.limit_value, o.request_count
    FROM public.anomaly_rules AS r
    CROSS JOIN LATERAL (SELECT date_bin(r.window_length, p_at, '2000-01-01 00:00:00+00')) AS w (stop)
    JOIN public.model_deployments AS d
      ON (r.deployment_id IS NULL OR d.id = r.deployment_id)
     AND d.deployed_at <= w.stop - r.window_length
     AND (d.undeployed_at >= w.stop OR d.undeployed_at IS NULL AND d.deployment_status = 'active')
    CROSS JOIN LATERAL public.inference_metric(d.id, r.metric_name, w.stop - r.window_length, w.stop) AS o
    LEFT JOIN LATERAL public.inference_metric(d.id, r.metric_name,
                                              w.stop - r.window_length - r.baseline_length, w.stop - r.window_length) AS b
      ON r.baseline_length IS NOT NULL AND b.request_count >= r.min_requests
    CROSS JOIN LATERAL (
        SELECT r.threshold * CASE WHEN r.baseline_length IS NULL THEN 1 ELSE b.metric_value END
    ) AS l (limit_value)
    WHERE r.is_active
      AND (o.request_count >= r.min_requests OR r.metric_name = 'request_rate')
      AND CASE r.comparison WHEN 'above' THEN o.metric_value > l.limit_value ELSE o.metric_value < l.limit_value END
    ORDER BY r.id, d.id
    ON CONFLICT (rule_id, deployment_id, window_start) DO UPDATE
    SET observed_value = excluded.observed_value, limit_value = excluded.limit_value, request_count = excluded.request_count
    WHERE (a.observed_value, a.limit_value, a.request_count)
          IS DISTINCT FROM (excluded.observed_value, excluded.limit_value, excluded.request_count)
$$;
COMMENT ON PROCEDURE public.detect_inference_anomalies(timestamptz) IS
    'Applies every active rule of anomaly_rules to its last whole window before p_at and records what breaks it in inference_anomalies';

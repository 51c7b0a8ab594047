-- Views: the questions that are asked again and again. Columns are always named, so that a new column
-- of a table does not change a view.

-- ---------------------------------------------------------------------------------------------------
-- Versions
-- ---------------------------------------------------------------------------------------------------

CREATE VIEW public.model_version_history AS
SELECT mv.model_id, m.model_name, mv.id AS model_version_id, mv.version, mv.version_type, mv.performance_metrics,
       mv.is_active, mv.is_production, mv.created_at, mv.released_at
FROM public.model_versions AS mv
JOIN public.ai_models AS m ON m.id = mv.model_id;
COMMENT ON VIEW public.model_version_history IS
    'The versions of each model; order by created_at DESC for the newest first';

CREATE VIEW public.model_version_comparison AS
SELECT v.model_id, v.metric_name, v.model_version_id, v.version, v.avg_metric_value,
       lag(v.version) OVER older AS previous_version,
       lag(v.avg_metric_value) OVER older AS previous_avg_metric_value,
       v.avg_metric_value - lag(v.avg_metric_value) OVER older AS change
FROM (
    SELECT mv.model_id, me.metric_name, mv.id AS model_version_id, mv.version, mv.created_at, avg(me.metric_value) AS avg_metric_value
    FROM public.model_versions AS mv
    JOIN public.model_evaluations AS me ON me.model_version_id = mv.id
    GROUP BY mv.model_id, me.metric_name, mv.id
) AS v
WINDOW older AS (PARTITION BY v.model_id, v.metric_name ORDER BY v.created_at, v.model_version_id);
COMMENT ON VIEW public.model_version_comparison IS
    'Each metric of each version beside the evaluated version before it';

CREATE VIEW public.model_metric_comparison AS
SELECT v.model_id, v.metric_name, jsonb_object_agg(v.version, v.avg_metric_value) AS version_comparison
FROM (
    SELECT mv.model_id, me.metric_name, mv.version, avg(me.metric_value) AS avg_metric_value
    FROM public.model_versions AS mv
    JOIN public.model_evaluations AS me ON me.model_version_id = mv.id
    GROUP BY mv.model_id, me.metric_name, mv.version
) AS v
GROUP BY v.model_id, v.metric_name;
COMMENT ON VIEW public.model_metric_comparison IS
    'Each metric of a model as one object: version to mean value';

-- ---------------------------------------------------------------------------------------------------
-- Evaluation
-- ---------------------------------------------------------------------------------------------------

CREATE VIEW public.model_evaluation_history AS
SELECT mv.model_id, mv.id AS model_version_id, mv.version, me.id AS evaluation_id, me.evaluation_type, me.metric_name,
       me.metric_value, me.evaluation_dataset_id, me.evaluated_at
FROM public.model_versions AS mv
JOIN public.model_evaluations AS me ON me.model_version_id = mv.id;
COMMENT ON VIEW public.model_evaluation_history IS
    'All evaluations with their model and version; order by evaluated_at DESC for the newest first';

CREATE VIEW public.model_evaluation_summary AS
SELECT mv.model_id, mv.id AS model_version_id, mv.version, me.metric_name,
       count(*) AS evaluation_count,
       avg(me.metric_value) AS avg_metric_value,
       min(me.metric_value) AS min_metric_value,
       max(me.metric_value) AS max_metric_value,
       stddev_samp(me.metric_value) AS stddev_metric_value,
       (array_agg(me.metric_value ORDER BY me.evaluated_at DESC, me.id DESC))[1] AS last_metric_value,
       max(me.evaluated_at) AS last_evaluated_at
FROM public.model_versions AS mv
JOIN public.model_evaluations AS me ON me.model_version_id = mv.id
GROUP BY mv.model_id, mv.id, me.metric_name;
COMMENT ON VIEW public.model_evaluation_summary IS
    'Each metric of each version: how often measured, mean, spread, last value';

CREATE VIEW public.evaluation_schedule_status AS
SELECT s.id AS schedule_id, s.model_id, mv.id AS model_version_id, mv.version, s.metric_name, s.evaluation_interval,
       e.last_evaluated_at,
       d.next_due_at,
       d.next_due_at < now() AS is_overdue
FROM public.evaluation_schedules AS s
JOIN public.model_versions AS mv ON mv.model_id = s.model_id AND mv.is_active
LEFT JOIN LATERAL (
    SELECT max(me.evaluated_at)
    FROM public.model_evaluations AS me
    WHERE me.model_version_id = mv.id
      AND me.metric_name = s.metric_name
      AND me.evaluation_dataset_id = s.evaluation_dataset_id
) AS e (last_evaluated_at) ON true
CROSS JOIN LATERAL (
    -- A version that was never evaluated is due one interval after it was released, or the schedule made.
    SELECT coalesce(e.last_evaluated_at, greatest(s.created_at, mv.released_at)) + s.evaluation_interval
) AS d (next_due_at)
WHERE s.is_active;
COMMENT ON VIEW public.evaluation_schedule_status IS
    'When the active version of each scheduled model was last evaluated, and whether it is overdue';

-- ---------------------------------------------------------------------------------------------------
-- A/B tests
-- ---------------------------------------------------------------------------------------------------

CREATE VIEW public.ab_test_results AS
SELECT t.id AS ab_test_id, t.test_name, v.variant_name, v.deployment_id, v.is_control, v.traffic_percent,
       r.request_count, r.error_count,
       r.error_count / nullif(r.request_count, 0)::double precision AS error_rate,
       r.total_time_ms / nullif(r.timed_count, 0)::double precision AS avg_response_time
FROM public.ab_tests AS t
JOIN public.ab_test_variants AS v ON v.ab_test_id = t.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.request_count), 0)::bigint AS request_count,
           coalesce(sum(s.error_count + s.timeout_count), 0)::bigint AS error_count,
           coalesce(sum(s.timed_count), 0)::bigint AS timed_count,
           coalesce(sum(s.total_time_ms), 0)::bigint AS total_time_ms
    FROM public.deployment_request_stats AS s
    WHERE s.deployment_id = v.deployment_id
      AND s.period_start >= t.started_at
      AND s.period_start + interval '1 hour' <= coalesce(t.ended_at, 'infinity'::timestamptz)
) AS r;
COMMENT ON VIEW public.ab_test_results IS
    'What each side of an A/B test served in the whole hours of the test, as of the last roll_up_deployments';

-- ---------------------------------------------------------------------------------------------------
-- Materialised views, refreshed concurrently: hence the unique indexes
-- ---------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW public.mv_model_performance_summary AS
SELECT m.id AS model_id, m.model_name, m.model_type, mv.version,
       mv.performance_metrics ->> 'accuracy' AS accuracy,
       mv.performance_metrics ->> 'f1_score' AS f1_score,
       mv.is_active, mv.is_production, mv.created_at
FROM public.ai_models AS m
JOIN public.model_versions AS mv ON mv.model_id = m.id
WHERE mv.is_active OR mv.is_production;
COMMENT ON MATERIALIZED VIEW public.mv_model_performance_summary IS
    'Headline figures, as text, of the versions that are active or in production';

CREATE UNIQUE INDEX mv_model_performance_summary_pkey ON public.mv_model_performance_summary (model_id, version);

-- A figure that is not a number becomes NULL: one odd row must not stop the refresh of all.
CREATE MATERIALIZED VIEW public.mv_model_metrics AS
SELECT m.id AS model_id, m.model_name, mv.version,
       CASE WHEN jsonb_typeof(mv.performance_metrics -> 'accuracy') = 'number'
            THEN (mv.performance_metrics ->> 'accuracy')::double precision END AS accuracy,
       CASE WHEN jsonb_typeof(mv.performance_metrics -> 'f1_score') = 'number'
            THEN (mv.performance_metrics ->> 'f1_score')::double precision END AS f1_score
FROM public.ai_models AS m
JOIN public.model_versions AS mv ON mv.model_id = m.id
WHERE mv.is_active;
COMMENT ON MATERIALIZED VIEW public.mv_model_metrics IS
    'Accuracy and F1 score, as numbers, of the active versions';

CREATE UNIQUE INDEX mv_model_metrics_pkey ON public.mv_model_metrics (model_id, version);

-- Evaluations, anomalies, A/B tests; and what is computed from the logs.

INSERT INTO public.evaluation_schedules
       (id, model_id, evaluation_dataset_id, evaluation_type, metric_name, evaluation_interval, is_active, created_at, created_by)
SELECT s.m, s.m, 1 + (s.m - 1) % 12, CASE s.type WHEN 'embedding' THEN 'retrieval' ELSE s.type END, s.key_metric, interval '7 days', true,
       pg_temp.days_ago(700 - 6.85 * s.m), 'ml-platform'
FROM sample_models AS s
ORDER BY s.m;

-- Each version when it was new, by four metrics; in production, every week by the scheduled one. Model 9 has
-- been forgotten for three weeks.
INSERT INTO public.model_evaluations
       (id, model_version_id, evaluation_dataset_id, evaluation_type, metric_name, metric_value, evaluation_config, evaluated_at, notes, schedule_id)
SELECT row_number() OVER (ORDER BY e.at, e.version_id, x.metric), e.version_id, 1 + (s.m - 1) % 12,
       CASE s.type WHEN 'embedding' THEN 'retrieval' ELSE s.type END, x.metric, x.value,
       jsonb_build_object('split', 'test', 'samples', 1000), e.at, e.notes, e.schedule_id
FROM (
    SELECT v.id AS version_id, v.m, v.quality, v.created_at + interval '4 days' AS at, NULL::integer AS schedule_id, 'Before release' AS notes
    FROM sample_versions AS v
    UNION ALL
    SELECT v.id, v.m, v.quality - 0.0015 * g.week, d.deployed_at + g.week * interval '7 days', v.m, NULL
    FROM sample_deployments AS d
    JOIN sample_versions AS v ON v.id = d.version_id
    CROSS JOIN LATERAL generate_series(1, floor(extract(epoch FROM coalesce(d.undeployed_at, pg_temp.days_ago(0)) - d.deployed_at) / 604800)::integer) AS g (week)
    WHERE d.environment = 3
) AS e
JOIN sample_models AS s ON s.m = e.m
CROSS JOIN LATERAL (
    -- Of 1000 samples, half are positive; errors on both sides.
    SELECT 500 - c.miss AS tp, c.miss AS fn, 500 - c.alarm AS tn, c.alarm AS fp
    FROM (SELECT (500 * (1 - e.quality) * (0.9 + 0.2 * pg_temp.rnd(extract(epoch FROM e.at)::bigint, 71)))::bigint,
                 (500 * (1 - e.quality) * (0.9 + 0.2 * pg_temp.rnd(extract(epoch FROM e.at)::bigint, 72)))::bigint) AS c (miss, alarm)
) AS q
CROSS JOIN LATERAL (SELECT power(140 * (1.4 - e.quality) * (0.95 + 0.1 * pg_temp.rnd(e.version_id, 73)), 2)) AS r (mse)
CROSS JOIN LATERAL (
    SELECT m.metric, m.value
    FROM (VALUES ('classification', 'accuracy', public.metric_accuracy(q.tp, q.tn, q.fp, q.fn)),
                 ('classification', 'precision', public.metric_precision(q.tp, q.fp)),
                 ('classification', 'recall', public.metric_recall(q.tp, q.fn)),
                 ('classification', 'f1', public.metric_f1(q.tp, q.fp, q.fn)),
                 ('regression', 'mse', r.mse), ('regression', 'rmse', sqrt(r.mse)), ('regression', 'mae', 0.8 * sqrt(r.mse)),
                 ('regression', 'r2', e.quality),
                 ('embedding', 'recall_at_10', e.quality), ('embedding', 'ndcg_at_10', 0.9 * e.quality),
                 ('embedding', 'mrr', 0.85 * e.quality), ('embedding', 'recall_at_100', 0.5 + e.quality / 2)) AS m (type, metric, value)
    WHERE m.type = s.type AND (e.schedule_id IS NULL OR m.metric = s.key_metric)
) AS x
WHERE e.m <> 9 OR e.at < pg_temp.days_ago(21)
ORDER BY 1;

INSERT INTO public.ab_tests (id, test_name, model_id, environment_id, primary_metric, status, started_at, ended_at, created_at, created_by, notes)
SELECT t.id, t.name, t.m, 3, t.metric, t.status, v.production_at,
       CASE WHEN t.status = 'completed' THEN v.production_at + interval '21 days' END,
       v.created_at + interval '1 day', 'ml-platform', t.notes
FROM (VALUES (1, 'fraud-detector 2.1.0', 1, 'error_rate', 'completed', 'Fewer false alarms; kept'),
             (2, 'product-embedder 2.1.0', 2, 'avg_response_time', 'completed', 'As fast, better results; kept'),
             (3, 'ticket-router 2.1.0', 4, 'error_rate', 'running', NULL)) AS t (id, name, m, metric, status, notes)
JOIN sample_versions AS v ON v.m = t.m AND v.k = 5
ORDER BY t.id;

INSERT INTO public.ab_test_variants (id, ab_test_id, variant_name, deployment_id, traffic_percent, is_control, is_winner)
SELECT (t.id - 1) * 2 + d.k - 3, t.id, CASE d.k WHEN 4 THEN 'control' ELSE 'candidate' END, d.id,
       CASE WHEN t.m = 4 THEN CASE d.k WHEN 4 THEN 80 ELSE 20 END ELSE CASE d.k WHEN 4 THEN 70 ELSE 30 END END,
       d.k = 4, d.k = 5 AND t.m <> 4
FROM (VALUES (1, 1), (2, 2), (3, 4)) AS t (id, m)
JOIN sample_deployments AS d ON d.m = t.m AND d.environment = 3 AND d.k IN (4, 5)
ORDER BY 1;

INSERT INTO public.anomaly_rules
       (id, rule_name, metric_name, comparison, threshold, window_length, baseline_length, min_requests, severity, created_at)
SELECT r.id, r.name, r.metric, r.comparison, r.threshold, interval '1 day', r.baseline, r.requests, r.severity, pg_temp.days_ago(700)
FROM (VALUES (1, 'many errors', 'error_rate', 'above', 0.10, NULL, 15, 'critical'),
             (2, 'many timeouts', 'timeout_rate', 'above', 0.10, NULL, 10, 'critical'),
             (3, 'slow answers', 'avg_response_time', 'above', 3.0, interval '14 days', 25, 'warning')
     ) AS r (id, name, metric, comparison, threshold, baseline, requests, severity);

DO $$
DECLARE
    v_day timestamptz;
BEGIN
    FOR v_day IN
        SELECT g.day FROM sample_incidents AS i, generate_series(i.began + interval '1 day', i.ended, interval '1 day') AS g (day) ORDER BY 1
    LOOP
        CALL public.detect_inference_anomalies(v_day);
    END LOOP;
END
$$;

-- As if the detection had run every night, and all but the last ten days were looked into.
UPDATE public.inference_anomalies
SET detected_at = window_end + interval '10 minutes',
    resolved_at = CASE WHEN window_end < pg_temp.days_ago(10) THEN window_end + interval '9 hours' END,
    notes = CASE WHEN window_end < pg_temp.days_ago(10) THEN 'Traced to a deployment; put right' END;

CALL public.roll_up_deployments();

-- Versions: five a model, 137 days apart, staggered so that some model always has a new one. The first of
-- each was in production before the logs begin.
--
-- Models 5, 10, 15 and 20 have an experimental fifth version that never reached production. Model 3
-- rolled its fifth version back. Models 1 and 2 tested the fifth against the fourth; model 4 does so now.

CREATE TEMPORARY TABLE sample_versions ON COMMIT DROP AS
SELECT v.id, v.m, v.k, v.experimental, v.age,
       CASE WHEN v.experimental THEN '3.0.0' ELSE (ARRAY['1.0.0', '1.1.0', '1.1.1', '2.0.0', '2.1.0'])[v.k] END AS version,
       CASE WHEN v.experimental THEN 'experimental' ELSE (ARRAY['major', 'minor', 'patch', 'major', 'minor'])[v.k] END AS version_type,
       pg_temp.days_ago(v.age) AS created_at,
       CASE WHEN v.experimental THEN NULL
            WHEN v.m = 4 AND v.k = 5 THEN pg_temp.days_ago(14)
            ELSE pg_temp.days_ago(v.age - 7) END AS production_at,
       v.k = CASE WHEN v.m % 5 = 0 OR v.m IN (3, 4) THEN 4 ELSE 5 END AS is_active,
       0.72 + 0.035 * v.k + 0.06 * pg_temp.rnd(v.m, 31) AS quality
FROM (
    SELECT (s.m - 1) * 5 + k.k AS id, s.m, k.k, s.m % 5 = 0 AND k.k = 5 AS experimental,
           700 - 6.85 * s.m - 137 * (k.k - 1) AS age
    FROM sample_models AS s CROSS JOIN generate_series(1, 5) AS k (k)
) AS v;

INSERT INTO public.model_versions
       (id, model_id, version, version_type, model_file_path, checksum, training_config, performance_metrics,
        is_active, is_production, created_at, created_by, notes, released_at)
SELECT v.id, v.m, v.version, v.version_type, s.root || '/' || v.version || '/model.' || s.extension, pg_temp.checksum(v.id),
       jsonb_build_object('epochs', 300, 'dataset', 1 + (v.m - 1) % 12, 'seed', 7 * v.id),
       CASE s.type
           WHEN 'regression' THEN jsonb_build_object('rmse', round((140 * (1.4 - v.quality))::numeric, 3), 'r2', round(v.quality::numeric, 4))
           WHEN 'embedding' THEN jsonb_build_object('recall_at_10', round(v.quality::numeric, 4))
           ELSE jsonb_build_object('accuracy', round((v.quality + 0.03)::numeric, 4), 'f1_score', round(v.quality::numeric, 4)) END,
       v.is_active, v.is_active OR (v.m = 4 AND v.k = 5), v.created_at,
       (ARRAY['ada', 'grace', 'alan', 'emmy'])[1 + v.m % 4],
       CASE WHEN v.experimental THEN 'New architecture; not for production'
            WHEN v.m = 3 AND v.k = 5 THEN 'Rolled back: errors on new customers'
            WHEN v.k = 3 THEN 'Fixes the handling of missing values' END,
       v.production_at
FROM sample_versions AS v JOIN sample_models AS s ON s.m = v.m
ORDER BY v.id;

INSERT INTO public.model_version_tags (model_version_id, tag_name, created_at, created_by)
SELECT v.id, t.tag, v.created_at + interval '8 days', 'release-bot'
FROM sample_versions AS v
JOIN (VALUES ('baseline'), ('production'), ('experimental'), ('rolled-back')) AS t (tag)
  ON CASE t.tag WHEN 'baseline' THEN v.k = 1
                WHEN 'production' THEN v.is_active
                WHEN 'experimental' THEN v.experimental
                ELSE v.m = 3 AND v.k = 5 END
ORDER BY 1, 2;

-- Three runs a version; the first often fails or is given up. Run 301 is under way, 302 waits.
CREATE TEMPORARY TABLE sample_runs ON COMMIT DROP AS
SELECT r.id, r.version_id, r.m, r.k, r.d, r.status, r.age, r.planned,
       CASE r.status WHEN 'failed' THEN 40 + (pg_temp.rnd(r.id, 41) * 60)::integer
                     WHEN 'cancelled' THEN 20 + (pg_temp.rnd(r.id, 41) * 100)::integer
                     WHEN 'running' THEN 120 WHEN 'pending' THEN 0
                     ELSE r.planned END AS epochs,
       CASE WHEN r.status <> 'pending' THEN r.started_at END AS started_at,
       r.epoch_time, r.quality, 'run-' || r.m || '-' || r.k || '-' || r.run AS name
FROM (
    SELECT (v.id - 1) * 3 + n.n AS id, v.id AS version_id, v.m, v.k, 1 + (v.m - 1) % 12 AS d, n.n AS run,
           CASE WHEN n.n > 1 OR v.id % 3 = 0 THEN 'completed' WHEN v.id % 3 = 1 THEN 'failed' ELSE 'cancelled' END AS status,
           v.age, 400 + (pg_temp.rnd(v.id * 3 + n.n, 42) * 250)::integer AS planned,
           v.created_at + (n.n - 1) * interval '26 hours' + interval '1 hour' AS started_at,
           (60 + pg_temp.rnd(v.id * 3 + n.n, 43) * 60) * interval '1 second' AS epoch_time,
           v.quality
    FROM sample_versions AS v CROSS JOIN generate_series(1, 3) AS n (n)
    UNION ALL
    SELECT 300 + x.n, v.id, v.m, v.k, 1 + (v.m - 1) % 12, 3 + x.n, x.status, 0, 300, pg_temp.days_ago(0.25), interval '150 seconds', v.quality
    FROM (VALUES (1, 'running', 20), (2, 'pending', 15)) AS x (n, status, m)
    JOIN sample_versions AS v ON v.m = x.m AND v.k = 5
) AS r;

INSERT INTO public.training_runs
       (id, model_version_id, dataset_id, run_name, status, started_at, completed_at, training_config, hyperparameters,
        training_loss, validation_loss, metrics, error_message, created_at, created_by, dataset_version_id)
SELECT r.id, r.version_id, r.d, r.name, r.status, r.started_at,
       CASE WHEN r.status NOT IN ('running', 'pending') THEN r.started_at + r.epochs * r.epoch_time END,
       jsonb_build_object('gpus', 1 + r.m % 4, 'epochs', r.planned),
       jsonb_build_object('learning_rate', 0.0001 * (1 + r.m % 5), 'batch_size', 16 << (r.m % 4)),
       l.training, l.validation,
       CASE WHEN r.status = 'completed' THEN jsonb_build_object('score', round(r.quality::numeric, 4), 'epochs', r.epochs) ELSE '{}' END,
       CASE WHEN r.status = 'failed' THEN 'loss is NaN at epoch ' || r.epochs END,
       coalesce(r.started_at, pg_temp.days_ago(0.05)) - interval '20 minutes', (ARRAY['ada', 'grace', 'alan', 'emmy'])[1 + r.m % 4],
       (SELECT max(dv.id) FROM sample_dataset_versions AS dv WHERE dv.d = r.d AND dv.at <= coalesce(r.started_at, pg_temp.days_ago(0)))
FROM sample_runs AS r
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(round(pg_temp.loss(r.id, e, r.planned, r.quality)::numeric, 5) ORDER BY e), '[]'),
           coalesce(jsonb_agg(round((1.08 * pg_temp.loss(r.id, e, r.planned, r.quality))::numeric, 5) ORDER BY e), '[]')
    FROM generate_series(20, r.epochs, 20) AS e
) AS l (training, validation)
ORDER BY r.id;

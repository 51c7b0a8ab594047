-- The two logs, and the deployments that were asked.

-- Of runs that ended more than 545 days ago, which is just under 18 months, the records are gone.
INSERT INTO public.training_records (id, model_version_id, epoch, loss, metrics, created_at)
SELECT row_number() OVER (ORDER BY e.at, r.id, e.epoch), r.version_id, e.epoch,
       CASE WHEN r.status = 'failed' AND e.epoch = r.epochs THEN 'NaN' ELSE e.loss END,
       jsonb_build_object('accuracy', round((r.quality * (1 - exp(-4.0 * e.epoch / r.planned)))::numeric, 4),
                          'val_loss', round((1.08 * e.loss)::numeric, 5),
                          'samples_per_second', 900 + (300 * pg_temp.rnd(r.id * 1000 + e.epoch, 51))::integer),
       e.at
FROM sample_runs AS r
CROSS JOIN LATERAL (
    SELECT g.epoch, r.started_at + g.epoch * r.epoch_time AS at, pg_temp.loss(r.id, g.epoch, r.planned, r.quality) AS loss
    FROM generate_series(1, r.epochs) AS g (epoch)
) AS e
WHERE r.age <= 545
ORDER BY 1;

-- Deployments 1 to 100: each version in staging. 101 to 200: in production, until the next takes over. 201: the
-- fourth version of model 3 again, after the roll-back. 202 failed; 203 is on its way.
CREATE TEMPORARY TABLE sample_deployments ON COMMIT DROP AS
SELECT v.id, v.id AS version_id, v.m, v.k, 2 AS environment,
       CASE WHEN v.experimental THEN 'active' ELSE 'inactive' END AS status, v.created_at + interval '5 days' AS deployed_at,
       CASE WHEN NOT v.experimental THEN v.created_at + interval '9 days' END AS undeployed_at
FROM sample_versions AS v
UNION ALL
SELECT 100 + v.id, v.id, v.m, v.k, 3, CASE WHEN u.at IS NULL THEN 'active' ELSE 'inactive' END, v.production_at, u.at
FROM sample_versions AS v
LEFT JOIN sample_versions AS next ON next.m = v.m AND next.k = v.k + 1
CROSS JOIN LATERAL (
    SELECT CASE WHEN v.m = 4 AND v.k = 4 THEN NULL
                WHEN v.m = 3 AND v.k = 5 THEN v.production_at + interval '20 days'
                WHEN v.m IN (1, 2) AND v.k = 4 THEN next.production_at + interval '21 days'
                ELSE next.production_at END
) AS u (at)
WHERE v.production_at IS NOT NULL
UNION ALL
SELECT 201, v.id - 1, v.m, 4, 3, 'active', v.production_at + interval '20 days', NULL
FROM sample_versions AS v WHERE v.m = 3 AND v.k = 5
UNION ALL
SELECT 202, v.id, v.m, v.k, 3, 'failed', NULL, NULL FROM sample_versions AS v WHERE v.m = 7 AND v.k = 3
UNION ALL
SELECT 203, v.id, v.m, v.k, 1, 'deploying', NULL, NULL FROM sample_versions AS v WHERE v.m = 20 AND v.k = 5;

INSERT INTO public.model_deployments
       (id, model_version_id, environment_id, deployment_status, deployed_at, undeployed_at, deployment_config,
        health_check_url, last_health_check, health_status, created_at, created_by)
SELECT d.id, d.version_id, d.environment, d.status, d.deployed_at, d.undeployed_at,
       jsonb_build_object('replicas', 1 + d.m % 3, 'memory', '4Gi'),
       'https://models.example.com/' || s.name || '/' || v.version || '/health',
       CASE WHEN d.status = 'active' THEN pg_temp.days_ago(0.001) ELSE d.undeployed_at END,
       CASE WHEN d.status <> 'active' THEN 'unknown' WHEN d.id = 135 THEN 'unhealthy' ELSE 'healthy' END,
       coalesce(d.deployed_at, v.created_at + interval '6 days') - interval '10 minutes', 'release-bot'
FROM sample_deployments AS d
JOIN sample_versions AS v ON v.id = d.version_id
JOIN sample_models AS s ON s.m = d.m
ORDER BY d.id;

-- Which deployment serves a model's requests from when to when, and which share of them.
CREATE TEMPORARY TABLE sample_routes ON COMMIT DROP AS
WITH test AS (
    SELECT v.m, v.production_at AS began, CASE WHEN v.m = 4 THEN 'infinity' ELSE v.production_at + interval '21 days' END AS ended,
           CASE WHEN v.m = 4 THEN 0.8 ELSE 0.7 END::float8 AS control
    FROM sample_versions AS v WHERE v.m IN (1, 2, 4) AND v.k = 5
)
SELECT d.id, d.m, x.began, x.ended, x.low, x.high
FROM (SELECT * FROM sample_deployments WHERE environment = 3 AND deployed_at IS NOT NULL) AS d
LEFT JOIN test AS t ON t.m = d.m AND d.k IN (4, 5)
CROSS JOIN LATERAL (
    SELECT d.deployed_at AS began, coalesce(d.undeployed_at, 'infinity') AS ended, 0.0::float8 AS low, 1.0::float8 AS high WHERE t.m IS NULL
    UNION ALL SELECT d.deployed_at, t.began, 0, 1 WHERE d.k = 4 AND t.m IS NOT NULL
    UNION ALL SELECT t.began, t.ended, 0, t.control WHERE d.k = 4 AND t.m IS NOT NULL
    UNION ALL SELECT t.began, t.ended, t.control, 1 WHERE d.k = 5 AND t.m IS NOT NULL
    UNION ALL SELECT t.ended, 'infinity', 0, 1 WHERE d.k = 5 AND t.m IS NOT NULL
) AS x;

-- Days on which something went wrong.
CREATE TEMPORARY TABLE sample_incidents ON COMMIT DROP AS
SELECT i.m, date_trunc('day', pg_temp.days_ago(i.age)) AS began, date_trunc('day', pg_temp.days_ago(i.age)) + i.days * interval '1 day' AS ended,
       i.errors, i.timeouts, i.slowdown
FROM (VALUES (1, 430, 2, 0.30, 0.02, 1.5), (2, 300, 2, 0.05, 0.12, 4.0), (1, 210, 1, 0.02, 0.01, 5.0), (3, 118, 6, 0.25, 0.02, 1.3),
             (5, 75, 2, 0.18, 0.05, 2.0), (2, 20, 1, 0.35, 0.02, 1.2), (1, 3, 1, 0.22, 0.05, 2.0)) AS i (m, age, days, errors, timeouts, slowdown);

-- Traffic grows over the 18 months and peaks at noon; a few models get most of it. Each step is
-- materialised: merged into one, every row would be computed many times over.
INSERT INTO public.inference_requests
       (id, deployment_id, request_id, input_data, output_data, processing_time_ms, status, error_message, created_at)
OVERRIDING SYSTEM VALUE
WITH span AS MATERIALIZED (
    SELECT pg_temp.months_ago(18) AS began, pg_temp.days_ago(0) AS ended, pg_temp.requests() AS total
), spread AS MATERIALIZED (
    SELECT x.n, s.began + power((x.n - pg_temp.rnd(x.n, 66)) / s.total, 0.7) * (s.ended - s.began) AS at,
           s.ended - (s.total - x.n) * interval '1 millisecond' AS latest
    FROM span AS s, generate_series(1::bigint, s.total) AS x (n)
), timed AS MATERIALIZED (
    SELECT p.n, p.latest, date_trunc('day', p.at) AS day, extract(epoch FROM p.at - date_trunc('day', p.at))::float8 / 86400 AS part
    FROM spread AS p
), asked AS MATERIALIZED (
    -- The day that is not over is left even, so that the log reaches up to now.
    SELECT t.n, least(t.day + CASE WHEN t.day < date_trunc('day', s.ended) THEN t.part + 0.12 * sin(2 * pi() * t.part)
                                   ELSE t.part END * interval '1 day', t.latest) AS at,
           1 + floor(20 * power(pg_temp.rnd(t.n, 63), 2.2))::integer AS m, pg_temp.rnd(t.n, 64) AS luck,
           pg_temp.rnd(t.n, 65) AS size, pg_temp.rnd(t.n, 67) AS share
    FROM timed AS t, span AS s
), served AS MATERIALIZED (
    SELECT a.n, a.m, a.at, a.size, route.id AS deployment_id, coalesce(i.slowdown, 1) AS slowdown,
           CASE WHEN a.luck < coalesce(i.errors, 0.012) THEN 'error'
                WHEN a.luck < coalesce(i.errors, 0.012) + coalesce(i.timeouts, 0.004) THEN 'timeout'
                ELSE 'success' END AS status
    FROM asked AS a
    JOIN sample_routes AS route
      ON route.m = a.m AND a.at >= route.began AND a.at < route.ended AND a.share >= route.low AND a.share < route.high
    LEFT JOIN sample_incidents AS i ON i.m = a.m AND a.at >= i.began AND a.at < i.ended
)
SELECT r.n, r.deployment_id, 'req-' || to_hex(r.n) || '-' || to_hex(hashint8extended(r.n, 61) & 4294967295),
       jsonb_build_object('tokens', 5 + (r.size * 500)::integer, 'client', 'app-' || 1 + r.n % 7),
       CASE WHEN r.status = 'success' THEN jsonb_build_object('label', (r.size * 10)::integer, 'score', round((0.5 + r.size / 2)::numeric, 3)) END,
       CASE r.status WHEN 'timeout' THEN 30000
                     WHEN 'error' THEN 3 + (20 * r.size)::integer
                     ELSE (r.slowdown * (12 + 6 * (r.m % 7)) * exp(0.5 * pg_temp.gauss(r.n, 62)))::integer END,
       r.status,
       CASE r.status WHEN 'timeout' THEN 'no answer within 30 s'
                     WHEN 'error' THEN CASE WHEN r.size < 0.6 THEN 'upstream returned 503' ELSE 'input too long' END END,
       r.at
FROM served AS r
ORDER BY r.n;

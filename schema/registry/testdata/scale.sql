-- A registry of some size beside the sample, so that the planner has reason to prefer an index.
SET search_path = '';

INSERT INTO public.ai_models (id, model_name, model_type, model_framework, config, created_at, updated_at)
SELECT 1000 + n, 'team-' || n % 300 || '-model-' || n,
       (ARRAY['classification', 'regression', 'embedding', 'ranking', 'generation', 'segmentation', 'detection', 'translation'])[1 + n % 8],
       (ARRAY['pytorch', 'tensorflow', 'huggingface', 'sklearn', 'xgboost', 'jax'])[1 + n / 8 % 6],
       jsonb_build_object('batch_size', 8 << n % 5, 'owner', 'team-' || n % 300, 'seed', n),
       timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes', timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes'
FROM generate_series(1, 10000) AS n;

INSERT INTO public.model_parameters (model_id, parameter_name, parameter_value, parameter_type)
SELECT 1000 + n, p, n::text, 'string'
FROM generate_series(1, 10000) AS n, unnest(ARRAY['batch_size', 'learning_rate', 'optimizer', 'schedule']) AS p;

INSERT INTO public.model_versions (id, model_id, version, version_type, model_file_path, performance_metrics, is_active, is_production, created_at)
SELECT 1000 + n * 10 + k, 1000 + n, k || '.0.0', 'major', '/models/model-' || n || '/' || k || '.0.0/model.pt',
       jsonb_build_object('accuracy', round((0.5 + (n * 7919 + k) % 5000 / 10000.0)::numeric, 4), 'f1_score', 0.5),
       k = 4, k = 4 AND n % 3 = 0, timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes' + k * interval '60 days'
FROM generate_series(1, 10000) AS n, generate_series(1, 4) AS k;

INSERT INTO public.model_version_tags (model_version_id, tag_name)
SELECT 1000 + n * 10 + 4, 'team-' || n % 500 FROM generate_series(1, 10000) AS n;

INSERT INTO public.training_datasets (id, dataset_name, dataset_type, created_at)
SELECT 1000 + n, 'dataset-' || n, (ARRAY['text', 'image', 'tabular', 'audio', 'video', 'graph', 'time series', 'log'])[1 + n % 8], timestamptz '2024-01-01 00:00+00'
FROM generate_series(1, 4000) AS n;

-- Most runs end well, within hours; few are under way or take days.
INSERT INTO public.training_runs (model_version_id, dataset_id, run_name, status, started_at, completed_at)
SELECT 1000 + n * 10 + k, 1000 + 1 + n % 4000, 'run ' || n,
       CASE WHEN n % 500 = 0 THEN 'running' WHEN n % 20 = 0 THEN 'failed' ELSE 'completed' END,
       t.at, CASE WHEN n % 500 <> 0 THEN t.at + interval '30 minutes' + (n * 7919 + k * 31) % 600 * interval '1 minute'
                                      + CASE WHEN n % 400 = 1 THEN interval '3 days' ELSE '0' END END
FROM generate_series(1, 10000) AS n, generate_series(1, 4) AS k,
     LATERAL (SELECT timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes' + k * interval '59 days') AS t (at);

INSERT INTO public.model_evaluations (model_version_id, evaluation_dataset_id, evaluation_type, metric_name, metric_value, evaluated_at)
SELECT 1000 + n * 10 + k, 1000 + 1 + n % 4000, m, m, 0.5 + (n * 7919 + k) % 5000 / 10000.0,
       timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes' + k * interval '61 days'
FROM generate_series(1, 10000) AS n, generate_series(3, 4) AS k, unnest(ARRAY['accuracy', 'precision', 'recall']) AS m;

INSERT INTO public.model_evaluations (model_version_id, evaluation_type, metric_name, metric_value, evaluated_at)
SELECT 1000 + n * 10 + 4, 'mse', 'mse', n, timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes' FROM generate_series(1, 10000, 10) AS n;

INSERT INTO public.deployment_environments (id, environment_name, environment_type)
SELECT 100 + n, 'cluster-' || n, 'production' FROM generate_series(1, 200) AS n;

INSERT INTO public.model_deployments (model_version_id, environment_id, deployment_status, deployed_at)
SELECT 1000 + n * 10 + k, 101 + n % 200, CASE WHEN k = 4 THEN 'active' WHEN n % 100 = 0 THEN 'failed' ELSE 'inactive' END,
       timestamptz '2024-01-01 00:00+00' + n * interval '97 minutes'
FROM generate_series(1, 10000) AS n, generate_series(1, 4) AS k;

REFRESH MATERIALIZED VIEW public.mv_model_performance_summary;
REFRESH MATERIALIZED VIEW public.mv_model_metrics;

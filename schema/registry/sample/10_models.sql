-- Environments, rules for paths, models and their parameters.

INSERT INTO public.deployment_environments
       (id, environment_name, environment_type, endpoint_url, api_key_ref, config, is_active, created_at, updated_at)
SELECT e.id, e.name, e.kind, 'https://' || e.name || '.models.example.com', 'vault://models/' || e.name || '#api_key',
       jsonb_build_object('replicas', e.replicas), true, t.at, t.at
FROM (VALUES (1, 'development', 'development', 1),
             (2, 'staging', 'staging', 2),
             (3, 'production', 'production', 6)) AS e (id, name, kind, replicas),
     LATERAL (SELECT pg_temp.days_ago(730)) AS t (at);

INSERT INTO public.model_file_paths (id, path_pattern, storage_type, is_active, created_at)
SELECT p.id, p.pattern, p.storage, p.active, pg_temp.days_ago(730)
FROM (VALUES (1, '^/models/', 'local', true),
             (2, '^s3://registry-models/', 's3', true),
             (3, '^s3://old-models/', 's3', false),
             (4, '^gs://registry-models/', 'gcs', true)) AS p (id, pattern, storage, active);

CREATE TEMPORARY TABLE sample_models ON COMMIT DROP AS
SELECT v.m, v.name, v.type, v.framework, v.description, v.input_dimension, v.output_dimension,
       CASE v.m % 3 WHEN 0 THEN '/models' WHEN 1 THEN 's3://registry-models/live' ELSE 'gs://registry-models/live' END || '/' || v.name AS root,
       CASE v.framework WHEN 'pytorch' THEN 'pt' WHEN 'sklearn' THEN 'pkl' ELSE 'onnx' END AS extension,
       CASE v.type WHEN 'regression' THEN 'rmse' WHEN 'embedding' THEN 'recall_at_10' ELSE 'f1' END AS key_metric
FROM (VALUES
    ( 1, 'fraud-detector',       'classification', 'pytorch',     'Tells card payments that were not made by the owner',    128,    2),
    ( 2, 'product-embedder',     'embedding',      'huggingface', 'Vectors of product texts for search',                    512,  768),
    ( 3, 'churn-predictor',      'classification', 'sklearn',     'Customers who are about to leave',                        64,    2),
    ( 4, 'ticket-router',        'classification', 'huggingface', 'Which team a support ticket is for',                     512,   24),
    ( 5, 'demand-forecaster',    'regression',     'tensorflow',  'Units sold per product and day',                          90,    1),
    ( 6, 'image-tagger',         'classification', 'pytorch',     'What is seen in product photographs',                  150528, 400),
    ( 7, 'price-estimator',      'regression',     'sklearn',     'Price that a used item will fetch',                       48,    1),
    ( 8, 'review-sentiment',     'classification', 'huggingface', 'Whether a review is kind',                               512,    3),
    ( 9, 'query-embedder',       'embedding',      'huggingface', 'Vectors of search queries',                               64,  768),
    (10, 'spam-filter',          'classification', 'sklearn',     'Messages that nobody asked for',                        2000,    2),
    (11, 'delivery-time',        'regression',     'pytorch',     'Minutes until a parcel arrives',                          36,    1),
    (12, 'face-blur',            'classification', 'pytorch',     'Regions of a picture with faces',                      150528,   2),
    (13, 'image-embedder',       'embedding',      'pytorch',     'Vectors of pictures for similarity',                   150528, 512),
    (14, 'language-detector',    'classification', 'tensorflow',  'Language of a text',                                     256,   40),
    (15, 'credit-score',         'regression',     'sklearn',     'Probability weight of late payment',                      52,    1),
    (16, 'document-classifier',  'classification', 'huggingface', 'Kind of a scanned document',                            1024,   30),
    (17, 'energy-load',          'regression',     'tensorflow',  'Load of the data centre in the next hour',                72,    1),
    (18, 'support-embedder',     'embedding',      'huggingface', 'Vectors of help pages',                                  512,  384),
    (19, 'defect-finder',        'classification', 'pytorch',     'Scratches on parts on the conveyor',                  262144,    6),
    (20, 'lifetime-value',       'regression',     'sklearn',     'What a customer will spend',                              80,    1)
) AS v (m, name, type, framework, description, input_dimension, output_dimension);

INSERT INTO public.ai_models
       (id, model_name, model_type, model_framework, description, input_dimension, output_dimension, model_path,
        config, metadata, created_at, updated_at)
SELECT s.m, s.name, s.type, s.framework, s.description, s.input_dimension, s.output_dimension, s.root,
       jsonb_build_object('batch_size', 8 << (s.m % 4), 'precision', CASE WHEN s.m % 2 = 0 THEN 'fp16' ELSE 'fp32' END),
       jsonb_build_object('owner', CASE s.m % 4 WHEN 0 THEN 'risk' WHEN 1 THEN 'search' WHEN 2 THEN 'care' ELSE 'logistics' END, 'sample', 'pgtender'),
       t.at, t.at
FROM sample_models AS s, LATERAL (SELECT pg_temp.days_ago(710 - 6.85 * s.m)) AS t (at)
ORDER BY s.m;

INSERT INTO public.model_parameters (id, model_id, parameter_name, parameter_value, parameter_type, description, created_at)
SELECT (s.m - 1) * 4 + p.i, s.m, p.name,
       CASE p.i WHEN 1 THEN (16 << (s.m % 4))::text
                WHEN 2 THEN (0.0001 * (1 + s.m % 5))::text
                WHEN 3 THEN CASE WHEN s.m % 2 = 0 THEN 'adamw' ELSE 'sgd' END
                ELSE jsonb_build_object('warmup', s.m * 10, 'decay', 'cosine')::text END,
       p.type, p.description, pg_temp.days_ago(710 - 6.85 * s.m)
FROM sample_models AS s
CROSS JOIN (VALUES (1, 'batch_size', 'int', 'Samples a step'), (2, 'learning_rate', 'float', 'Step width at the start'),
                   (3, 'optimizer', 'string', 'How weights are moved'), (4, 'schedule', 'json', 'How the step width changes')
           ) AS p (i, name, type, description)
ORDER BY 1;

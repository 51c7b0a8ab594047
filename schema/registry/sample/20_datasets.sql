-- Datasets, their versions, where they came from, how good they are.

CREATE TEMPORARY TABLE sample_datasets ON COMMIT DROP AS
SELECT v.d, v.name, v.type, v.description, 20000 + (pg_temp.rnd(v.d, 11) * 180000)::integer AS size
FROM (VALUES
    ( 1, 'card-payments',    'tabular', 'Payments with what became of them'),
    ( 2, 'product-texts',    'text',    'Titles and descriptions'),
    ( 3, 'customer-months',  'tabular', 'One row per customer and month'),
    ( 4, 'support-tickets',  'text',    'Tickets with the team that solved them'),
    ( 5, 'daily-sales',      'tabular', 'Units sold'),
    ( 6, 'product-photos',   'image',   'Photographs with tags'),
    ( 7, 'used-items',       'tabular', 'Offers and the prices reached'),
    ( 8, 'reviews',          'text',    'Reviews with stars'),
    ( 9, 'search-clicks',    'text',    'Queries and what was clicked'),
    (10, 'messages',         'text',    'Messages, reported or not'),
    (11, 'parcel-scans',     'tabular', 'Where a parcel was when'),
    (12, 'meter-readings',   'tabular', 'Load by the minute')
) AS v (d, name, type, description);

-- The newest version is the third; a dataset's own sizes are those.
CREATE TEMPORARY TABLE sample_dataset_versions ON COMMIT DROP AS
SELECT (s.d - 1) * 3 + k.k AS id, s.d, k.k, k.k || '.0.0' AS version,
       's3://registry-data/' || s.name || '/' || k.k || '.0.0/' AS path, z.size AS total,
       z.size * 80 / 100 AS train, z.size * 10 / 100 AS validation, z.size * 10 / 100 AS test,
       pg_temp.days_ago(725 - 3 * s.d - 230 * (k.k - 1)) AS at
FROM sample_datasets AS s
CROSS JOIN generate_series(1, 3) AS k (k)
CROSS JOIN LATERAL (SELECT s.size * (6 + 2 * k.k) / 10) AS z (size);

INSERT INTO public.training_datasets
       (id, dataset_name, dataset_type, description, data_path, total_samples, train_samples, validation_samples, test_samples, metadata, created_at)
SELECT s.d, s.name, s.type, s.description, v.path, v.total, v.train, v.validation, v.test,
       jsonb_build_object('format', CASE s.type WHEN 'image' THEN 'webdataset' WHEN 'text' THEN 'jsonl' ELSE 'parquet' END), first.at
FROM sample_datasets AS s
JOIN sample_dataset_versions AS v ON v.d = s.d AND v.k = 3
JOIN sample_dataset_versions AS first ON first.d = s.d AND first.k = 1
ORDER BY s.d;

INSERT INTO public.dataset_versions
       (id, dataset_id, version, data_path, checksum, total_samples, train_samples, validation_samples, test_samples, created_at, created_by, notes)
SELECT v.id, v.d, v.version, v.path, pg_temp.checksum(1000 + v.id), v.total, v.train, v.validation, v.test, v.at, 'data-team',
       CASE v.k WHEN 1 THEN 'First import' WHEN 2 THEN 'A year more, duplicates removed' ELSE 'Labels checked again' END
FROM sample_dataset_versions AS v
ORDER BY v.id;

INSERT INTO public.dataset_lineage
       (dataset_version_id, step_number, source_dataset_version_id, source_uri, processing_step, processing_config, processed_at, created_by)
SELECT v.id, x.step, CASE WHEN x.from_before THEN v.id - 1 END,
       CASE WHEN NOT x.from_before THEN 'https://warehouse.example.com/exports/' || s.name || '/' || v.version END,
       x.name, x.config, v.at - interval '3 hours' + x.step * interval '40 minutes', 'data-team'
FROM sample_dataset_versions AS v
JOIN sample_datasets AS s ON s.d = v.d
JOIN (VALUES (1, 1, false, 'import', '{"since": "5 years"}'::jsonb),
             (2, 1, true, 'deduplicate', '{"key": "hash"}'),
             (2, 2, false, 'import', '{"since": "1 year"}'),
             (3, 1, true, 'label', '{"annotators": 3}'),
             (3, 2, true, 'split', '{"train": 0.8, "validation": 0.1, "test": 0.1}')) AS x (k, step, from_before, name, config) ON x.k = v.k
ORDER BY 1, 2;

INSERT INTO public.dataset_quality_metrics (dataset_version_id, metric_name, measured_at, metric_value, details)
SELECT v.id, q.name, v.at + interval '1 hour', q.base + q.gain * v.k + 0.01 * pg_temp.rnd(v.id, 20 + q.i), jsonb_build_object('rows', v.total)
FROM sample_dataset_versions AS v
CROSS JOIN (VALUES (1, 'completeness', 0.93, 0.015), (2, 'duplicate_rate', 0.06, -0.018), (3, 'label_agreement', 0.85, 0.03)) AS q (i, name, base, gain)
ORDER BY 1, 2;

INSERT INTO a (name, amount, at) SELECT 'n' || g, g, now() FROM generate_series(1, 50) g; INSERT INTO b (a_id) SELECT id FROM a; REFRESH MATERIALIZED VIEW m;

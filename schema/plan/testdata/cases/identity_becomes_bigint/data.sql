INSERT INTO t (n) SELECT 1 FROM generate_series(1, 9);

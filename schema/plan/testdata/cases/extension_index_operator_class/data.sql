INSERT INTO t SELECT g, 'name ' || g FROM generate_series(1, 50) g;

INSERT INTO t VALUES (1, 'm'), (2, 'l');

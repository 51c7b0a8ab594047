INSERT INTO t VALUES (1, 'yes', 86400, 'a b'), (2, 'no', 0, 'c');

INSERT INTO t VALUES (1, 'in work');

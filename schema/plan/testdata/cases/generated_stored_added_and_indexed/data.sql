INSERT INTO t VALUES (1, 'the quick fox');

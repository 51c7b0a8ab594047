INSERT INTO t VALUES (1, 'ok', '{good,ok}'), (2, 'good', NULL), (6, 'bad', '{}');
INSERT INTO p VALUES ('good', '2024-01-05');

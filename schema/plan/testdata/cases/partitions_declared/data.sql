INSERT INTO r (at) VALUES ('2024-01-05'), ('2024-02-05');
INSERT INTO l SELECT 'a', g FROM generate_series(1, 20) g WHERE satisfies_hash_partition('l_a'::regclass, 2, 0, g);
INSERT INTO others VALUES (1);

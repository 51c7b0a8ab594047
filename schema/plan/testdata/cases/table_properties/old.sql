CREATE TABLE t (id int PRIMARY KEY, a text, b text, k int NOT NULL) WITH (fillfactor = 80, autovacuum_enabled = false);
CREATE UNIQUE INDEX t_k ON t (k);
CREATE TABLE u (a int);

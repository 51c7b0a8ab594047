CREATE TABLE t (id int PRIMARY KEY, a text STORAGE external COMPRESSION pglz, b text, k int NOT NULL) WITH (fillfactor = 70, toast.autovacuum_enabled = false, autovacuum_vacuum_cost_limit = 500);
CREATE UNIQUE INDEX t_k ON t (k);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_k, ALTER b SET STATISTICS 500, ALTER b SET (n_distinct = -0.5), CLUSTER ON t_k;
CREATE UNLOGGED TABLE u (a int);
ALTER TABLE u REPLICA IDENTITY FULL;
COMMENT ON TABLE t IS 'T.';

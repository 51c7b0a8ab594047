CREATE TABLE t (id int PRIMARY KEY, a int);
CREATE MATERIALIZED VIEW m AS SELECT a, count(*) AS n, max(id) AS last FROM t GROUP BY a;
CREATE UNIQUE INDEX m_a ON m (a);
CREATE MATERIALIZED VIEW fresh AS SELECT max(id) AS last FROM t;
CREATE UNIQUE INDEX fresh_last ON fresh (last);
CREATE MATERIALIZED VIEW opt WITH (fillfactor = 70, autovacuum_enabled = false) AS SELECT 1 AS x;
CREATE VIEW on_top AS SELECT last FROM fresh;
COMMENT ON MATERIALIZED VIEW m IS 'M.';

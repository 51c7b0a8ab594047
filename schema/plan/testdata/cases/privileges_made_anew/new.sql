CREATE TABLE t (id int, n bigint, v int GENERATED ALWAYS AS (n + 1) VIRTUAL);
CREATE VIEW w AS SELECT n, id FROM t;
CREATE FUNCTION f(a int) RETURNS bigint LANGUAGE sql AS 'SELECT a::bigint';
GRANT SELECT ON w TO pg_checkpoint;
GRANT SELECT (v) ON t TO pg_monitor;
REVOKE ALL ON FUNCTION f(int) FROM PUBLIC;

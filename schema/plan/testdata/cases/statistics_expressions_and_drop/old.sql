CREATE TABLE t (a int, b text);
CREATE STATISTICS s1 ON (lower(b)) FROM t;
CREATE STATISTICS s2 (dependencies) ON a, b FROM t;
COMMENT ON STATISTICS s2 IS 'S.';

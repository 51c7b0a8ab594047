CREATE TABLE t (a bigint, b text);
CREATE STATISTICS s1 ON (lower(b)), a FROM t;
CREATE STATISTICS s2 (dependencies) ON a, b FROM t;
COMMENT ON STATISTICS s2 IS 'Changed.';

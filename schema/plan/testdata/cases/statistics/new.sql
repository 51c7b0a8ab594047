CREATE TABLE t (a int, b int, c int);
CREATE STATISTICS s (ndistinct, mcv) ON a, b, (a + c) FROM t;
CREATE STATISTICS fresh ON (a % 5) FROM t;
ALTER STATISTICS fresh SET STATISTICS 200;
COMMENT ON STATISTICS fresh IS 'S.';

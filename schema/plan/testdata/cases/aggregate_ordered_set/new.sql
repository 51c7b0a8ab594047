CREATE FUNCTION keep(s float8[], v float8) RETURNS float8[] LANGUAGE sql IMMUTABLE AS 'SELECT array_append(s, v)';
CREATE FUNCTION pick(s float8[], at float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT s[1]';
CREATE AGGREGATE nth(float8 ORDER BY float8) (SFUNC = keep, STYPE = float8[], FINALFUNC = pick, INITCOND = '{}');
CREATE VIEW v AS SELECT nth(0.5) WITHIN GROUP (ORDER BY x) AS n FROM generate_series(1, 3) x;
COMMENT ON AGGREGATE nth(float8 ORDER BY float8) IS 'N.';
REVOKE ALL ON FUNCTION nth(float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION nth(float8, float8) TO pg_monitor;

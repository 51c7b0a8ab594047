CREATE FUNCTION add_to(s bigint, v int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT s + v';
CREATE FUNCTION take_from(s bigint, v int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT s - v';
CREATE FUNCTION merge(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION last(s bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT s';
CREATE AGGREGATE total(int) (SFUNC = add_to, STYPE = bigint, FINALFUNC = last, COMBINEFUNC = merge, INITCOND = '0', MSFUNC = add_to, MINVFUNC = take_from, MSTYPE = bigint, MINITCOND = '0', PARALLEL = SAFE);
CREATE VIEW v AS SELECT total(n) AS n FROM generate_series(1, 3) n;
COMMENT ON AGGREGATE total(int) IS 'T.';

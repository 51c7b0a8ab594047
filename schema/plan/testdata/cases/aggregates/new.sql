CREATE FUNCTION step(s int, v int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT s + v';
CREATE FUNCTION finish(s int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT s::text';
CREATE FUNCTION unstep(s int, v int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT s - v';
CREATE AGGREGATE total(int) (SFUNC = step, STYPE = int, INITCOND = '10', COMBINEFUNC = int4pl, PARALLEL = SAFE,
	MSFUNC = step, MINVFUNC = unstep, MSTYPE = int, MINITCOND = '10');
COMMENT ON AGGREGATE total(int) IS 'With ten.';
CREATE AGGREGATE as_text(v int) (SFUNC = step, STYPE = int, INITCOND = '0');
CREATE AGGREGATE counted(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
REVOKE ALL ON FUNCTION counted() FROM PUBLIC;
CREATE TABLE t (v int);
CREATE VIEW sums AS SELECT total(v) AS total, as_text(v) AS words FROM t;

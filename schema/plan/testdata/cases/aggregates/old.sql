CREATE FUNCTION step(s int, v int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT s + v';
CREATE FUNCTION finish(s int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT s::text';
CREATE AGGREGATE total(int) (SFUNC = step, STYPE = int, INITCOND = '0');
CREATE AGGREGATE as_text(v int) (SFUNC = step, STYPE = int, FINALFUNC = finish, INITCOND = '0');
CREATE AGGREGATE gone(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
CREATE TABLE t (v int);
CREATE VIEW sums AS SELECT total(v) AS total, as_text(v) AS words FROM t;

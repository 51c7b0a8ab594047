CREATE FUNCTION add_to(s bigint, v int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT s + v';
CREATE AGGREGATE total(int) (SFUNC = add_to, STYPE = bigint, INITCOND = '0');
CREATE VIEW v AS SELECT total(n) AS n FROM generate_series(1, 3) n;

CREATE FUNCTION keep(s float8[], v float8) RETURNS float8[] LANGUAGE sql IMMUTABLE AS 'SELECT array_append(s, v)';
CREATE FUNCTION pick(s float8[], at float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT s[1]';

CREATE FUNCTION diff(a time, b time) RETURNS double precision LANGUAGE sql STRICT IMMUTABLE AS 'SELECT extract(epoch FROM a - b)';
CREATE TYPE timerange AS RANGE (SUBTYPE = time, SUBTYPE_DIFF = diff);
CREATE TYPE plain AS RANGE (SUBTYPE = float8);
CREATE TYPE gone AS RANGE (SUBTYPE = text);
CREATE TABLE t (r timerange, m timemultirange);

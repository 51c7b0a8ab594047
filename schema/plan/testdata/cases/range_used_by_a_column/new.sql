CREATE TYPE timerange AS RANGE (SUBTYPE = time);
CREATE TABLE t (id int, open timerange, always timemultirange);
COMMENT ON TYPE timerange IS 'Hours.';

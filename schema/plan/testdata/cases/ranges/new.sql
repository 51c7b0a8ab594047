CREATE FUNCTION diff(a time, b time) RETURNS double precision LANGUAGE sql STRICT IMMUTABLE AS 'SELECT extract(epoch FROM a - b)';
CREATE TYPE timerange AS RANGE (SUBTYPE = time, SUBTYPE_DIFF = diff);
CREATE TYPE plain AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE TYPE words AS RANGE (SUBTYPE = text, SUBTYPE_OPCLASS = text_pattern_ops, COLLATION = "C", MULTIRANGE_TYPE_NAME = many_words);
COMMENT ON TYPE words IS 'Words.';
CREATE TABLE t (r timerange, m timemultirange, w words, mw many_words, EXCLUDE USING gist (r WITH &&));

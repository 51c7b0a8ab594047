CREATE FUNCTION norm(s text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower(s)';
CREATE TABLE t (name text, n text GENERATED ALWAYS AS (norm(name)) STORED);

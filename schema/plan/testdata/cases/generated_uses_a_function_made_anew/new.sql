CREATE FUNCTION norm(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower(trim(t))';
CREATE TABLE t (name text, n text GENERATED ALWAYS AS (norm(name)) STORED);

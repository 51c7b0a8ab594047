CREATE COLLATION german (PROVIDER = icu, LOCALE = 'de-DE', DETERMINISTIC = false);
CREATE TABLE t (name text, other text COLLATE german);
COMMENT ON COLLATION german IS 'G.';

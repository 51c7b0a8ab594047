CREATE COLLATION german (PROVIDER = icu, LOCALE = 'de');
CREATE COLLATION nocase (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
CREATE COLLATION posix (PROVIDER = libc, LOCALE = 'POSIX');
COMMENT ON COLLATION german IS 'German.';
CREATE TABLE t (a text COLLATE german, b text COLLATE nocase);
CREATE INDEX ON t (b COLLATE posix);

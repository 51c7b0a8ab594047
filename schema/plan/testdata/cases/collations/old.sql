CREATE COLLATION german (PROVIDER = icu, LOCALE = 'de');
CREATE COLLATION gone (PROVIDER = builtin, LOCALE = 'C');
CREATE TABLE t (a text COLLATE german);

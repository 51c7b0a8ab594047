CREATE TABLE t (id int PRIMARY KEY, a text, b text);
CREATE INDEX i ON t (a, b);
CREATE INDEX new_name ON t (b);
CREATE INDEX stat ON t ((a || b));
ALTER INDEX stat ALTER COLUMN 1 SET STATISTICS 70;
COMMENT ON INDEX i IS 'I.';
COMMENT ON INDEX new_name IS 'Renamed.';

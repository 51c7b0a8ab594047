CREATE TABLE t (id int PRIMARY KEY, a text, b text);
CREATE INDEX i ON t (a);
CREATE INDEX old_name ON t (b);
CREATE INDEX extra ON t (a, b);
CREATE INDEX stat ON t ((a || b));
ALTER INDEX stat ALTER COLUMN 1 SET STATISTICS 50;
COMMENT ON INDEX i IS 'I.';

CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE INDEX i ON t (a);
UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass;

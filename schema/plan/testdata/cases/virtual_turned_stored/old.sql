CREATE TABLE t (id int PRIMARY KEY, s timestamptz, e timestamptz, took interval GENERATED ALWAYS AS (e - s) STORED);
CREATE VIEW v AS SELECT id, took FROM t;

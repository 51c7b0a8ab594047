CREATE TABLE t (id int PRIMARY KEY, s timestamptz, e timestamptz, took interval GENERATED ALWAYS AS (e - s) VIRTUAL);
CREATE VIEW v AS SELECT id, took FROM t;
COMMENT ON COLUMN t.took IS 'How long.';

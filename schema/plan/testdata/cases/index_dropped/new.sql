CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE INDEX t_a ON t USING btree (lower(a) text_pattern_ops DESC) WHERE a IS NOT NULL;
CREATE UNIQUE INDEX t_u ON t (a) INCLUDE (id) NULLS NOT DISTINCT WITH (fillfactor = 60);
CREATE INDEX t_brin ON t USING brin (id) WITH (pages_per_range = 16);
COMMENT ON INDEX t_a IS 'Case.';

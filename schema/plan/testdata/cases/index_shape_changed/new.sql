CREATE TABLE t (id int, a text);
CREATE INDEX t_brin ON t USING brin (id) WITH (pages_per_range = 32);
CREATE INDEX t_mixed ON t (id, lower(a)) WITH (fillfactor = 80, deduplicate_items = off) WHERE id > 0;
CREATE INDEX t_gin ON t USING gin (to_tsvector('simple', a)) WITH (fastupdate = off);

CREATE TABLE t (id int, a text, b int[], c tsrange, d inet, e point);
CREATE INDEX t_hash ON t USING hash (a);
CREATE INDEX t_gin ON t USING gin (b) WITH (fastupdate = off);
CREATE INDEX t_gist ON t USING gist (c) WITH (buffering = on);
CREATE INDEX t_spgist ON t USING spgist (e);
CREATE INDEX t_brin ON t USING brin (id int4_minmax_multi_ops (values_per_range = 32)) WITH (autosummarize = on);
CREATE INDEX t_inet ON t USING gist (d inet_ops);
CREATE INDEX t_btree ON t USING btree (a COLLATE "C" DESC NULLS LAST, id) INCLUDE (d) WITH (deduplicate_items = off) WHERE id > 0;

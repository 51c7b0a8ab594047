CREATE TABLE t (id int, b int[]);
CREATE INDEX t_b ON t USING gin (b) WITH (fastupdate = off);
CREATE INDEX t_id ON t (id) WITH (fillfactor = 70);

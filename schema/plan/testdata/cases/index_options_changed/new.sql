CREATE TABLE t (id int, b int[]);
CREATE INDEX t_b ON t USING gin (b);
CREATE INDEX t_id ON t (id) WITH (fillfactor = 90);

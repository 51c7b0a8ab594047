CREATE TABLE t (id int);
-- pgtender: renamed from a
CREATE INDEX t_id ON t (id);

CREATE TABLE t (id int);
CREATE INDEX a ON t (id);

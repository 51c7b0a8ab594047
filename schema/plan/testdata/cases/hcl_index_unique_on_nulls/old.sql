CREATE TABLE t (a int, b int);
CREATE INDEX u ON t (a);

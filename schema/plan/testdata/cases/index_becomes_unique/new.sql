CREATE TABLE t (id int, a int);
CREATE UNIQUE INDEX t_a ON t (a);

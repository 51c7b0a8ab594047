CREATE TABLE t (id int PRIMARY KEY, b int);
CREATE TABLE c (a int);

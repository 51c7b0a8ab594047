CREATE TABLE t (id int PRIMARY KEY, n int, name varchar(10));
CREATE INDEX t_n ON t (n);

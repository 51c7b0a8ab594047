CREATE TABLE t (id int, a int, b int, r int4range);

CREATE TABLE t (a int);
CREATE TABLE u (id serial, a int);

CREATE TABLE t (a int, id serial);
CREATE TABLE u (a int);

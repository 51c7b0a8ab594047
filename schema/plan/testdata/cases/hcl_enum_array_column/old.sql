CREATE TYPE state AS ENUM ('a');
CREATE TABLE t (id int);

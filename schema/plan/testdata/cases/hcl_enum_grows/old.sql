CREATE TYPE state AS ENUM ('a', 'c');
CREATE TABLE t (s state);

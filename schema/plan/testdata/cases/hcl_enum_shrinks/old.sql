CREATE TYPE state AS ENUM ('a', 'b', 'c');
CREATE TABLE t (id int PRIMARY KEY, s state NOT NULL);
CREATE INDEX t_s ON t (s);

CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, CONSTRAINT positive CHECK (n > 0));
CREATE UNIQUE INDEX t_n ON t (n) WHERE n > 10;
CREATE INDEX t_abs ON t (abs(n));

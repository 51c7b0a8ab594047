CREATE TABLE t (id int PRIMARY KEY, a int, b int, CONSTRAINT a_b CHECK (a < b), CONSTRAINT a_key UNIQUE (a));
CREATE INDEX t_ab ON t (a, b);
CREATE STATISTICS t_st ON a, b FROM t;
CREATE TABLE c (a int REFERENCES t (a));
COMMENT ON COLUMN t.a IS 'A.';

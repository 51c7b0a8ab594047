CREATE TABLE t (id int PRIMARY KEY, a text, b int, c int CHECK (c > 0), CONSTRAINT two CHECK (a <> '' OR b > 0));
CREATE INDEX t_a ON t (a);
CREATE INDEX t_bc ON t (b, c);
CREATE STATISTICS t_stat ON b, c FROM t;
CREATE VIEW v AS SELECT id, c FROM t;

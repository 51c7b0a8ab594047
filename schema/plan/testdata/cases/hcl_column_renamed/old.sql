CREATE TABLE t (id int PRIMARY KEY, cost int);
CREATE INDEX t_cost ON t (cost);
CREATE VIEW v AS SELECT id FROM t;
DROP VIEW v;

CREATE TABLE t (id int PRIMARY KEY, cost int NOT NULL CHECK (cost > 0));
CREATE INDEX t_cost ON t (cost);
CREATE VIEW v AS SELECT id, cost FROM t;
CREATE POLICY p ON t USING (cost < 100);

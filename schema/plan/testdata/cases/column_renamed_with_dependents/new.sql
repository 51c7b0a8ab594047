CREATE TABLE t (
	id int PRIMARY KEY,
	-- pgtender: renamed from cost
	price int NOT NULL CHECK (price > 0)
);
-- pgtender: renamed from t_cost
CREATE INDEX t_price ON t (price);
CREATE VIEW v AS SELECT id, price AS cost FROM t;
CREATE POLICY p ON t USING (price < 100);

-- pgtender: renamed from orders
CREATE TABLE purchases (id serial PRIMARY KEY, n int UNIQUE CHECK (n > 0));
CREATE TABLE lines (order_id int REFERENCES purchases);
CREATE VIEW v AS SELECT id FROM purchases;

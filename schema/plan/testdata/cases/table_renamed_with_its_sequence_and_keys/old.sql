CREATE TABLE orders (id serial PRIMARY KEY, n int UNIQUE CHECK (n > 0));
CREATE TABLE lines (order_id int REFERENCES orders);
CREATE VIEW v AS SELECT id FROM orders;

CREATE TYPE mood AS ENUM ('bad', 'ok');
CREATE DOMAIN amount AS int CHECK (VALUE >= 0);
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL, feeling mood DEFAULT 'ok');
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customer (id), total amount, placed date,
	CONSTRAINT total_small CHECK (total < 1000));
CREATE INDEX orders_placed ON orders (placed);
CREATE STATISTICS s_old ON customer, placed FROM orders;
CREATE FUNCTION price(a amount) RETURNS int LANGUAGE sql AS 'SELECT a::int';
CREATE FUNCTION of_customer(c int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.orders WHERE customer = c';
CREATE VIEW open_orders AS SELECT o.id, o.total FROM orders o JOIN customer USING (id);
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY 1;
CREATE SEQUENCE numbers;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own ON orders USING (customer > 0);
CREATE TABLE events (id int, at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE unchanged (id int);

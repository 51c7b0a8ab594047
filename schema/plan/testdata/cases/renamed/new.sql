-- pgtender: renamed from mood
CREATE TYPE feeling AS ENUM ('bad', 'fine', -- pgtender: renamed from 'ok'
	'great');
-- pgtender: renamed from amount
CREATE DOMAIN money_amount AS int CONSTRAINT amount_check CHECK (VALUE >= 0);
-- pgtender: renamed from customer
CREATE TABLE clients (
	id serial PRIMARY KEY,
	-- pgtender: renamed from name
	full_name text NOT NULL,
	mood feeling DEFAULT 'fine', -- pgtender: renamed from feeling
	since date
);
CREATE TABLE purchases ( -- pgtender: renamed from orders
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	client int REFERENCES clients (id), -- pgtender: renamed from customer
	total money_amount,
	placed date,
	-- pgtender: renamed from total_small
	CONSTRAINT total_limit CHECK (total < 1000)
);
CREATE INDEX purchases_placed ON purchases (placed); -- pgtender: renamed from orders_placed
-- pgtender: renamed from s_old
CREATE STATISTICS s_new ON client, placed FROM purchases;
-- pgtender: renamed from price
CREATE FUNCTION cost(a money_amount) RETURNS int LANGUAGE sql AS 'SELECT a::int';
CREATE FUNCTION of_customer(c int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.purchases WHERE client = c';
-- pgtender: renamed from open_orders
CREATE VIEW open_purchases AS SELECT o.id, o.total FROM purchases o JOIN clients USING (id);
-- pgtender: renamed from totals
CREATE MATERIALIZED VIEW sums AS SELECT client AS customer, sum(total) AS total FROM purchases GROUP BY 1;
-- pgtender: renamed from numbers
CREATE SEQUENCE "Numbers";
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
-- pgtender: renamed from touch
CREATE TRIGGER touched BEFORE INSERT ON purchases FOR EACH ROW EXECUTE FUNCTION touch();
-- pgtender: renamed from own
CREATE POLICY mine ON purchases USING (client > 0);
-- pgtender: renamed from events
CREATE TABLE happenings (
	id int, at date NOT NULL,
	kind text -- pgtender: renamed from what
) PARTITION BY RANGE (at);
CREATE INDEX ON happenings (kind);
-- The rename was done long ago; the directive does no harm.
-- pgtender: renamed from long_gone
CREATE TABLE unchanged (id int);

CREATE TYPE mood AS ENUM ('bad', 'ok');
CREATE TABLE orders (id int NOT NULL, total text, m mood, CONSTRAINT orders_pkey PRIMARY KEY (id), CONSTRAINT c CHECK (id > 0));
CREATE INDEX orders_m ON orders (m);

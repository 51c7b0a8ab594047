CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TYPE temper AS ENUM ('bad', 'good', 'best');
CREATE TABLE t (id int PRIMARY KEY, n text, m mood DEFAULT 'bad', d timestamptz, f double precision, j json, arr int[], c char(3), big bigint);

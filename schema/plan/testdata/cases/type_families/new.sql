CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TYPE temper AS ENUM ('bad', 'good', 'best');
CREATE TABLE t (id int PRIMARY KEY, n int, m temper DEFAULT 'good', d date, f numeric(6,1), j jsonb, arr bigint[], c text, big int);

CREATE TYPE point3 AS (x float8, y float8);
CREATE TABLE t (id int PRIMARY KEY, p point3);

CREATE TYPE point3 AS (x float8, y float8, z float8);
CREATE TABLE t (id int PRIMARY KEY, p point3);
COMMENT ON COLUMN point3.z IS 'Height.';

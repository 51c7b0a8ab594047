CREATE TABLE t (id int PRIMARY KEY, n int, CONSTRAINT positive CHECK (n > 0));
COMMENT ON CONSTRAINT positive ON t IS 'P.';

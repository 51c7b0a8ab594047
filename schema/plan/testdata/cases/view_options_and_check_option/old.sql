CREATE TABLE t (id int, a int);
CREATE VIEW v WITH (security_barrier = true) AS SELECT id, a FROM t WHERE a > 0;
CREATE VIEW w AS SELECT id FROM t WHERE a > 1 WITH LOCAL CHECK OPTION;

CREATE TABLE t (id int PRIMARY KEY, a int, b int);
CREATE VIEW v AS SELECT id, a, b FROM t WHERE b > 0;
CREATE VIEW top AS SELECT id FROM v;
CREATE VIEW opt WITH (security_invoker, check_option = local) AS SELECT id FROM t;
ALTER VIEW opt ALTER COLUMN id SET DEFAULT 6;
COMMENT ON COLUMN v.a IS 'A!';
COMMENT ON VIEW v IS 'V.';

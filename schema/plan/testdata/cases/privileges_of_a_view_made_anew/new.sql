CREATE TABLE t (id int, a int);
CREATE VIEW v AS SELECT a FROM t;
GRANT SELECT ON v TO pg_monitor, pg_read_all_stats;

CREATE TABLE t (id int PRIMARY KEY, flag text, at bigint DEFAULT 0, tags text);
CREATE VIEW v AS SELECT id, flag FROM t;

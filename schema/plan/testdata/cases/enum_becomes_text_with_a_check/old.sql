CREATE TYPE state AS ENUM ('new', 'done');
CREATE TABLE t (id int PRIMARY KEY, state state NOT NULL DEFAULT 'new');
CREATE VIEW v AS SELECT state, count(*) AS n FROM t GROUP BY state;

CREATE TABLE t (id int PRIMARY KEY, state text NOT NULL DEFAULT 'new', CONSTRAINT state_known CHECK (state IN ('new', 'done')));
CREATE VIEW v AS SELECT state, count(*) AS n FROM t GROUP BY state;

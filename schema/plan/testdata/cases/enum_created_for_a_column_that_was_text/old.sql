CREATE TABLE t (id int PRIMARY KEY, state text NOT NULL DEFAULT 'new', CONSTRAINT state_known CHECK (state IN ('new', 'done')));
CREATE INDEX t_state ON t (state);

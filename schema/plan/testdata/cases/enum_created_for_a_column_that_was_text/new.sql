CREATE TYPE state AS ENUM ('new', 'done');
CREATE TABLE t (id int PRIMARY KEY, state state NOT NULL DEFAULT 'new');
CREATE INDEX t_state ON t (state);

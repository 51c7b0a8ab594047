CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX t_at ON t (at);

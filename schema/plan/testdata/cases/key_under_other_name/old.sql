CREATE TABLE t (id int CONSTRAINT old_key PRIMARY KEY, code text);
CREATE TABLE u (id text NOT NULL);

CREATE TABLE t (id int NOT NULL, code uuid PRIMARY KEY, CONSTRAINT t_id_key UNIQUE (id));
CREATE TABLE c (t_id int REFERENCES t (id));

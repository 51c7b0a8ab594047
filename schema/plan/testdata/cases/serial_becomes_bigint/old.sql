CREATE TABLE t (id serial PRIMARY KEY, n int);
CREATE TABLE c (t_id int REFERENCES t);

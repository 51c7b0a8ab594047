CREATE TABLE t (id bigserial PRIMARY KEY, n int);
CREATE TABLE c (t_id bigint REFERENCES t);

CREATE TABLE t (id int, a text, doc jsonb, n int);

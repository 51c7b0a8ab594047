CREATE TABLE t (id int PRIMARY KEY, n int, CONSTRAINT n_small CHECK (n < 10), CONSTRAINT gone CHECK (n > -5));

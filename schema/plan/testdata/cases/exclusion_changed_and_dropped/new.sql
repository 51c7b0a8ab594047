CREATE TABLE t (at tsrange, n int, CONSTRAINT a EXCLUDE USING gist (at WITH &&) WHERE (n > 0));

CREATE TABLE t (at tsrange, n int, CONSTRAINT a EXCLUDE USING gist (at WITH &&), CONSTRAINT b EXCLUDE USING hash (n WITH =));

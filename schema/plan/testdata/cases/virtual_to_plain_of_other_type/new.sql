CREATE TABLE t (n int, b text DEFAULT 'x');
CREATE TABLE c (n int);

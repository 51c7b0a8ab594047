CREATE TABLE t (n int, a int, g int GENERATED ALWAYS AS (a * 2) STORED);

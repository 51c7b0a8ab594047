CREATE TABLE t (id int, a int, b int, g int GENERATED ALWAYS AS (a + b) STORED);

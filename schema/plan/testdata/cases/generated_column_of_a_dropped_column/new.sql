CREATE TABLE t (id int, b int, g int GENERATED ALWAYS AS (b * 2) STORED);

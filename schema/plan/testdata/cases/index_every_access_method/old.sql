CREATE TABLE t (id int, a text, b int[], c tsrange, d inet, e point);

CREATE TABLE t (id int, a int, b int);
ALTER TABLE t ADD CONSTRAINT b_given NOT NULL b NOT VALID;

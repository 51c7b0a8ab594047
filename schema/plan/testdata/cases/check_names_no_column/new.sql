CREATE TABLE t (id int, CONSTRAINT closed CHECK (false) NOT VALID);

CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b text CONSTRAINT b_given NOT NULL);

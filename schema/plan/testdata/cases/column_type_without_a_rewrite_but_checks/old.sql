CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b timestamp UNIQUE, c varchar(9), CONSTRAINT a_given CHECK (a <> ''));
CREATE INDEX t_lower ON t (lower(c::text));
CREATE INDEX t_a ON t (a);

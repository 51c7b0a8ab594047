CREATE TABLE t (id int PRIMARY KEY, a varchar(40), b timestamptz UNIQUE, c text, CONSTRAINT a_given CHECK (a <> ''));
CREATE INDEX t_lower ON t (lower(c::text));
CREATE INDEX t_a ON t (a);

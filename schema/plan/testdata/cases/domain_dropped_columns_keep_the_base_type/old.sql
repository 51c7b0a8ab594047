CREATE DOMAIN short AS varchar(20) CHECK (VALUE <> '');
CREATE TABLE t (id int PRIMARY KEY, name short NOT NULL);

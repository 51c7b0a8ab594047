CREATE TABLE t (id int PRIMARY KEY, name varchar(20), price numeric(8,2));

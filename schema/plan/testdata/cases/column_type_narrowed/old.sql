CREATE TABLE t (id bigint PRIMARY KEY, name varchar(100), price numeric(12,4));

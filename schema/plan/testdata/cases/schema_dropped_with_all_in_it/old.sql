CREATE SCHEMA old;
CREATE TYPE old.kind AS ENUM ('a', 'b');
CREATE SEQUENCE old.numbers;
CREATE TABLE old.t (id int PRIMARY KEY DEFAULT nextval('old.numbers'), k old.kind);
CREATE FUNCTION old.f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM old.t';
CREATE VIEW old.v AS SELECT id FROM old.t;
CREATE TABLE stays (id int);

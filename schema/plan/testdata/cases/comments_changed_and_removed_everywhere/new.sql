CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, a int CONSTRAINT c CHECK (a > 0));
CREATE INDEX t_a ON app.t (a);
CREATE VIEW app.v AS SELECT id FROM app.t;
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE app.e AS ENUM ('a');
CREATE SEQUENCE app.s;
COMMENT ON TABLE app.t IS 'it''s $two$ \ lines
and "quotes"';
COMMENT ON COLUMN app.t.a IS 'new 3';

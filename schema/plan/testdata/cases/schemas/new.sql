CREATE SCHEMA app;
CREATE TYPE app.state AS ENUM ('on');
CREATE TABLE app.t (id int PRIMARY KEY, s app.state DEFAULT 'on');
CREATE VIEW v AS SELECT id FROM app.t;
COMMENT ON SCHEMA app IS 'App.';

CREATE SCHEMA app;
CREATE TYPE public.kind AS ENUM ('x');
CREATE TABLE app.t (id int PRIMARY KEY, k public.kind);
CREATE VIEW public.v AS SELECT id, k FROM app.t;
CREATE FUNCTION app.of(k public.kind) RETURNS SETOF app.t LANGUAGE sql AS 'SELECT * FROM app.t';
CREATE TABLE public.child (id int REFERENCES app.t);

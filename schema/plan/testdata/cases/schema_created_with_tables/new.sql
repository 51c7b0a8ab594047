CREATE SCHEMA app;
CREATE TABLE public.a (id int PRIMARY KEY);
CREATE TABLE app.b (id int PRIMARY KEY, a_id int NOT NULL REFERENCES public.a);
CREATE VIEW app.v AS SELECT b.id, a.id AS a FROM app.b JOIN public.a ON a.id = b.a_id;
COMMENT ON SCHEMA app IS 'The application.';

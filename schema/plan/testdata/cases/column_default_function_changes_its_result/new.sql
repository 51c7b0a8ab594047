CREATE FUNCTION code() RETURNS text LANGUAGE sql AS $$ SELECT 'c' $$;
CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT code());

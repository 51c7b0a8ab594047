CREATE FUNCTION code() RETURNS varchar LANGUAGE sql AS $$ SELECT 'c' $$;
CREATE TABLE t (id int PRIMARY KEY, c text DEFAULT code());

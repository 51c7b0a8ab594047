CREATE FUNCTION is_code(s text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT s ~ '^[A-Z]{3}$' $$;
CREATE DOMAIN code AS text CHECK (is_code(VALUE));
CREATE TABLE t (id int, c code);

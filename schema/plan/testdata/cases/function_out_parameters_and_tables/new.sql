CREATE TABLE t (id int, added int);
CREATE FUNCTION pair(OUT a int, OUT b text, OUT c int) LANGUAGE sql AS $$ SELECT 1, 'x', 2 $$;
CREATE FUNCTION all_t() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM public.t';
CREATE FUNCTION as_table() RETURNS TABLE (id int, n int) LANGUAGE sql AS 'SELECT 1, 2';

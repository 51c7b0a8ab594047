CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION make_pair() RETURNS pair LANGUAGE sql AS 'SELECT 1, 2';

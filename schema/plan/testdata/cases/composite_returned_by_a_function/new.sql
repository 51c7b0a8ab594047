CREATE TYPE pair AS (a int, b bigint);
CREATE FUNCTION make_pair() RETURNS pair LANGUAGE sql AS 'SELECT 1, 2::bigint';

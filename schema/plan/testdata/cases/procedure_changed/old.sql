CREATE PROCEDURE p(IN a int, INOUT b int) LANGUAGE plpgsql AS 'BEGIN b := a; END';

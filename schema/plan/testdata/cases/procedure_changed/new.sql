CREATE PROCEDURE p(IN a int, INOUT b int) LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS 'BEGIN b := a + 1; END';

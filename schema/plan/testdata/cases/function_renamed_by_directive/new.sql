-- pgtender: renamed from old_name
CREATE FUNCTION new_name(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW v AS SELECT new_name(2) AS n;

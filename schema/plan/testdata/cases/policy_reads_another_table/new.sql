CREATE TABLE members (id int, name text);
CREATE FUNCTION me() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user';
CREATE TABLE t (id int);
CREATE POLICY mine ON t USING (id IN (SELECT m.id FROM members m WHERE m.name = me()));
ALTER TABLE t ENABLE ROW LEVEL SECURITY;

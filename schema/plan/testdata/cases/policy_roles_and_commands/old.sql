CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON t FOR SELECT TO pg_monitor USING (true);
CREATE POLICY writes ON t FOR INSERT WITH CHECK (owner = current_user);

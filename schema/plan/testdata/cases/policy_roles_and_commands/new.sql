CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY reads ON t FOR SELECT TO pg_monitor, pg_read_all_stats USING (id > 0);
CREATE POLICY deletes ON t AS RESTRICTIVE FOR DELETE USING (owner = current_user);
COMMENT ON POLICY deletes ON t IS 'D.';

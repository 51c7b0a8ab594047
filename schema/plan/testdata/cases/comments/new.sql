CREATE TABLE t (a int CONSTRAINT ck CHECK (a > 0));
CREATE INDEX i ON t (a);
CREATE VIEW v AS SELECT a FROM t;
COMMENT ON TABLE t IS 'new; with semicolon -- and dashes';
COMMENT ON INDEX i IS '''new''';
COMMENT ON CONSTRAINT ck ON t IS 'E\n';
COMMENT ON VIEW v IS '$$';
COMMENT ON SCHEMA public IS 'Ours.';

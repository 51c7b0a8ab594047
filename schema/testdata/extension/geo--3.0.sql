CREATE DOMAIN shape AS bytea CHECK (length(VALUE) < 1000);
CREATE TYPE shape_kind AS ENUM ('point', 'line', 'area');
CREATE TYPE shape_dump AS (path integer[], form shape);
CREATE TABLE spatial_ref (
  srid integer PRIMARY KEY CHECK (srid > 0),
  seen serial,
  kind shape_kind,
  centre vec(3),
  text varchar(2048) COLLATE "C"
);
CREATE INDEX spatial_ref_text ON spatial_ref (lower(text)) WHERE kind = 'area';
COMMENT ON TABLE spatial_ref IS 'reference systems; rows of users are dumped';
INSERT INTO spatial_ref (srid, kind, text) SELECT n, 'area', 'system ' || n FROM generate_series(4000, 4100) AS n;
SELECT pg_catalog.pg_extension_config_dump('spatial_ref', 'WHERE srid > 900000');
SELECT pg_catalog.pg_extension_config_dump('spatial_ref_seen_seq', '');
CREATE TABLE tiles (z integer, x integer) PARTITION BY LIST (z);
CREATE TABLE tiles_0 PARTITION OF tiles FOR VALUES IN (0);
CREATE SEQUENCE shape_ids OWNED BY NONE;
CREATE FUNCTION shape_area(shape) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 5000 AS 'BEGIN RETURN length($1); END';
CREATE FUNCTION spatial_ref_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER guard BEFORE UPDATE ON spatial_ref FOR EACH ROW EXECUTE FUNCTION spatial_ref_guard();
CREATE RULE no_delete AS ON DELETE TO spatial_ref WHERE old.srid < 5000 DO INSTEAD NOTHING;
CREATE VIEW shape_columns AS
  SELECT n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE a.atttypid = 'shape'::regtype;
CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS n FROM spatial_ref GROUP BY kind;
CREATE STATISTICS spatial_ref_stats ON kind, text FROM spatial_ref;
CREATE FUNCTION watch_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER geo_watch ON ddl_command_end EXECUTE FUNCTION watch_ddl();
CREATE TEXT SEARCH CONFIGURATION places (COPY = simple);
CREATE CAST (shape_kind AS integer) WITH INOUT;
GRANT SELECT ON spatial_ref, shape_columns TO PUBLIC;
REVOKE ALL ON FUNCTION shape_area(shape) FROM PUBLIC;
ALTER TABLE spatial_ref ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON spatial_ref USING (true);

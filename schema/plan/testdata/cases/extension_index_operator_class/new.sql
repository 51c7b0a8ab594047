CREATE EXTENSION pg_trgm;
CREATE TABLE t (id int PRIMARY KEY, name text);
CREATE INDEX t_name ON t USING gin (name gin_trgm_ops);
CREATE INDEX t_near ON t USING gist (name gist_trgm_ops (siglen = 64));

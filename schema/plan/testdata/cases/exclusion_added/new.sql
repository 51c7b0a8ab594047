CREATE EXTENSION btree_gist;
CREATE TABLE t (room int, at tsrange, CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, at WITH &&) WHERE (room > 0) DEFERRABLE);

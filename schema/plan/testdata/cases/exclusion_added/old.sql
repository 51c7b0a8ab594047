CREATE EXTENSION btree_gist;
CREATE TABLE t (room int, at tsrange);

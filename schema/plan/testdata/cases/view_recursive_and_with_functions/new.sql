CREATE TABLE t (id int PRIMARY KEY, parent int);
CREATE FUNCTION depth(n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT repeat('-', n) $$;
CREATE RECURSIVE VIEW tree (id, level) AS SELECT id, 0 FROM t WHERE parent IS NULL UNION ALL SELECT t.id, level + 1 FROM t JOIN tree ON t.parent = tree.id;
CREATE VIEW shown AS SELECT id, depth(level) AS d FROM tree;

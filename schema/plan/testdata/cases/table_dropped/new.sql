CREATE TABLE c (p_id int, x int);
CREATE VIEW v AS SELECT x AS a FROM c;

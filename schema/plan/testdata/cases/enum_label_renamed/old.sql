CREATE TYPE state AS ENUM ('new', 'in work', 'done');
CREATE TABLE t (id int PRIMARY KEY, s state DEFAULT 'in work');
CREATE VIEW v AS SELECT id FROM t WHERE s = 'in work';

CREATE TYPE state AS ENUM (
	'new',
	'active', -- pgtender: renamed from 'in work'
	'done'
);
CREATE TABLE t (id int PRIMARY KEY, s state DEFAULT 'active');
CREATE VIEW v AS SELECT id FROM t WHERE s = 'active';

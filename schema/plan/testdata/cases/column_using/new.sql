CREATE TABLE t (
	id int PRIMARY KEY,
	-- pgtender: using flag = 'yes'
	flag boolean,
	at timestamptz DEFAULT now(), -- pgtender: using to_timestamp(at)
	tags text[] -- pgtender: using string_to_array(tags, ' ')
);
CREATE VIEW v AS SELECT id, flag FROM t;

CREATE TABLE t (
	id int PRIMARY KEY,
	tag text[] -- pgtender: using CASE WHEN tag IS NULL THEN '{}' ELSE ARRAY[tag] END
);

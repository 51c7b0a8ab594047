package parts

// Astray is SQL that says of each row m of pgtender.archived_partition, as astray.how, where the partition is that should be in
// the archive: null where it is there, otherwise in words. Rows of a table that is not partitioned are in the archive table itself. It joins by names, so it follows no rename, and waits for no lock.
const Astray = `
CROSS JOIN LATERAL (SELECT CASE
	WHEN NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	                  WHERE n.nspname = m.partition_schema AND c.relname = m.partition_name) THEN 'there is no such table'
	WHEN (m.partition_schema, m.partition_name) = (m.archive_schema, m.archive_table) THEN NULL
	WHEN NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits i ON i.inhrelid = c.oid
	                  WHERE n.nspname = m.partition_schema AND c.relname = m.partition_name) THEN 'it is detached'
	ELSE (SELECT CASE WHEN (pn.nspname, p.relname) <> (m.archive_schema, m.archive_table) THEN 'it is attached to ' || pn.nspname || '.' || p.relname
	                  WHEN i.inhdetachpending THEN 'its DETACH CONCURRENTLY is not finished' END
	        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits i ON i.inhrelid = c.oid
	        JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
	       WHERE n.nspname = m.partition_schema AND c.relname = m.partition_name
	       ORDER BY 1 NULLS FIRST LIMIT 1) END AS how) astray`

SELECT has_table_privilege('pg_monitor', 'public.v', 'SELECT') AND has_table_privilege('pg_read_all_stats', 'public.v', 'SELECT')

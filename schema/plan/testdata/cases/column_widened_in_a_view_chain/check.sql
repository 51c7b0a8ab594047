SELECT has_table_privilege('pg_monitor', 'public.v2', 'SELECT')

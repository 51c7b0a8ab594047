SELECT has_table_privilege('pg_monitor', 'public.untouched', 'SELECT') AND NOT has_function_privilege('pg_read_all_data', 'app.g(int)', 'EXECUTE')
	AND NOT has_table_privilege('pg_monitor', 'public.t', 'INSERT') AND has_column_privilege('pg_monitor', 'app.new', 'odd, name', 'UPDATE')
	AND has_table_privilege('pg_monitor', 'app.new', 'SELECT') AND NOT has_table_privilege('pg_write_all_data', 'public.t', 'SELECT WITH GRANT OPTION');

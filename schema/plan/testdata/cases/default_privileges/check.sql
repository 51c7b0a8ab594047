SELECT has_table_privilege('pg_read_all_data', 'app.by_default', 'DELETE WITH GRANT OPTION') AND NOT has_function_privilege('pg_monitor', 'app.f()', 'EXECUTE')
	AND NOT has_table_privilege('pg_checkpoint', 'app.exact', 'INSERT')

SELECT (SELECT relowner::regrole::text FROM pg_catalog.pg_class WHERE oid = 'public.v'::regclass) = '"Pgtender case owner"'
  AND has_table_privilege('pgtender_case_reader', 'public.v', 'SELECT WITH GRANT OPTION') AND has_table_privilege('pgtender_case_reader', 'public.v', 'INSERT')
  AND has_column_privilege('pgtender_case_reader', 'public.v', 'a', 'UPDATE') AND has_column_privilege('pgtender_case_reader', 'public.t', 'v', 'SELECT')
  AND has_function_privilege('pgtender_case_reader', 'public.f(int)', 'EXECUTE')
  AND NOT has_function_privilege('Pgtender case owner', 'public.f(int)', 'EXECUTE')

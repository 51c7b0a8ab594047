SELECT count(*) = 500 AND (SELECT bool_and(indisvalid) FROM pg_catalog.pg_index) FROM public.r

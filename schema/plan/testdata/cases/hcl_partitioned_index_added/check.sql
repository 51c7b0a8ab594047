SELECT bool_and(indisvalid) FROM pg_catalog.pg_index

#!/bin/sh
# Run once by the postgres image, on an empty volume: the role that pgtender uses, and its database.
set -eu
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set password="$(cat /run/secrets/tender_password)" <<'SQL'
CREATE ROLE tender LOGIN CREATEDB PASSWORD :'password';  -- CREATEDB: scratch databases, in which a declared schema is read
GRANT pg_monitor TO tender;                              -- checks: other users' sessions, settings, replication
CREATE DATABASE registry OWNER tender;
\connect registry
GRANT SELECT ON pg_catalog.pg_file_settings, pg_catalog.pg_hba_file_rules, pg_catalog.pg_ident_file_mappings TO tender;  -- check config_files
GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules(), pg_catalog.pg_ident_file_mappings() TO tender;
SQL

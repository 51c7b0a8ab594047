-- Made by: pgtender grants --role tender. The schema was applied by registry_owner; put in your own names, or run that command on your
-- own database. Tested: go test ./internal/cli -run RoleSQL (-update-role writes it anew).
-- What the jobs of atlas.hcl need in database "registry". Run it as an administrator.
CREATE ROLE "tender" LOGIN; -- it is not there yet; give it a password, or another way to log in
GRANT CONNECT ON DATABASE "registry" TO "tender";
GRANT USAGE, CREATE ON SCHEMA pgtender TO "tender"; -- run ledger, journals, copies of rows that leave a DEFAULT partition; it belongs to "registry_owner"
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgtender TO "tender";
GRANT USAGE ON SCHEMA "public" TO "tender";
GRANT pg_monitor TO "tender"; -- health checks, and refreshes with when = "auto", which without it are never skipped: other users' sessions, settings, replication
GRANT SELECT ON pg_catalog.pg_file_settings, pg_catalog.pg_hba_file_rules, pg_catalog.pg_ident_file_mappings TO "tender"; -- health check config_files
GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules(), pg_catalog.pg_ident_file_mappings() TO "tender"; -- health check config_files
GRANT SELECT ON ALL SEQUENCES IN SCHEMA "public" TO "tender"; -- health check sequence_use
GRANT "registry_owner" TO "tender"; -- the owner of public.inference_requests, public.inference_requests_archive, public.training_records, public.training_records_archive: only an owner may attach and detach partitions
GRANT SELECT, INSERT, DELETE ON TABLE "public"."model_evaluations" TO "tender"; -- rows move out of it, and back by `archive restore`
GRANT SELECT, INSERT, DELETE ON TABLE "public"."model_evaluations_archive" TO "tender"; -- its archive
GRANT SELECT, INSERT, DELETE ON TABLE "public"."training_runs" TO "tender"; -- rows move out of it, and back by `archive restore`
GRANT SELECT, INSERT, DELETE ON TABLE "public"."training_runs_archive" TO "tender"; -- its archive
GRANT MAINTAIN ON TABLE "public"."mv_model_metrics" TO "tender"; -- refresh
GRANT MAINTAIN ON TABLE "public"."mv_model_performance_summary" TO "tender"; -- refresh
ALTER ROLE "tender" CREATEDB; -- apply, and drift until an apply was made with these sources: scratch databases; needless when env.dev names a server for them
-- job "rollup_deployments" (atlas.hcl): grant what its own SQL touches: CALL roll_up_deployments()
-- check "inference_errors" (atlas.hcl): grant SELECT on what it reads: SELECT 'deployment ' || deployment_id, (count(*) FILTER (WHERE status <> 'success'))::float8 / count(*) FROM public.inference_requests WHERE created_at >= now() - interval '1 hour' GROUP BY deployment_id HAVING count(*) >= 10 -- fewer prove nothing ORDER BY deployment_id

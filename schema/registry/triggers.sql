-- Rules that a CHECK cannot hold: they look at other rows, or at the row as it was.

-- ---------------------------------------------------------------------------------------------------
-- updated_at
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.set_updated_at()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The moment of the change, not of the transaction's beginning.
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION public.set_updated_at() IS
    'Trigger: keeps updated_at';

CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.ai_models
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.deployment_environments
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION public.set_updated_at();

-- ---------------------------------------------------------------------------------------------------
-- Released versions
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.mark_version_released()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.released_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION public.mark_version_released() IS
    'Trigger: a version is released when it first becomes active or serves production, and stays so';

CREATE TRIGGER mark_version_released BEFORE INSERT OR UPDATE ON public.model_versions
    FOR EACH ROW WHEN (NEW.released_at IS NULL AND (NEW.is_active OR NEW.is_production))
    EXECUTE FUNCTION public.mark_version_released();

CREATE FUNCTION public.refuse_released_version_change()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'version % of model % has been released: its file, checksum and configuration cannot be changed', OLD.version, OLD.model_id
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Register a new version.';
END
$$;
COMMENT ON FUNCTION public.refuse_released_version_change() IS
    'Trigger: refuses changes to what a released version is';

-- Before-triggers fire in the order of their names: this one sees released_at as the statement set it,
-- ahead of mark_version_released.
CREATE TRIGGER keep_released_version BEFORE UPDATE ON public.model_versions
    FOR EACH ROW WHEN (OLD.released_at IS NOT NULL AND
        (OLD.model_id, OLD.version, OLD.version_type, OLD.model_file_path, OLD.checksum, OLD.training_config, OLD.released_at)
        IS DISTINCT FROM
        (NEW.model_id, NEW.version, NEW.version_type, NEW.model_file_path, NEW.checksum, NEW.training_config, NEW.released_at))
    EXECUTE FUNCTION public.refuse_released_version_change();

-- ---------------------------------------------------------------------------------------------------
-- Model files
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.check_model_file_path()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage text := public.model_path_storage_type(NEW.model_file_path);
BEGIN
    -- Whether the path is well formed at all is the business of the constraint check_model_path.
    IF EXISTS (SELECT FROM public.model_file_paths WHERE storage_type = v_storage)
       AND NOT EXISTS (SELECT FROM public.model_file_paths
                       WHERE storage_type = v_storage AND is_active AND NEW.model_file_path ~ path_pattern) THEN
        RAISE EXCEPTION 'model file path % matches no active pattern for % storage in model_file_paths', NEW.model_file_path, v_storage
            USING ERRCODE = 'check_violation',
                  HINT = 'Put the file where a pattern allows it, or add a pattern.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION public.check_model_file_path() IS
    'Trigger: a new path must match an active pattern of its storage in model_file_paths, if that storage has any';

CREATE TRIGGER check_model_file_path BEFORE INSERT OR UPDATE OF model_file_path ON public.model_versions
    FOR EACH ROW EXECUTE FUNCTION public.check_model_file_path();

-- ---------------------------------------------------------------------------------------------------
-- A/B tests
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION public.check_running_ab_test()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids      integer[];
    v_test     public.ab_tests;
    v_percent  numeric;
    v_controls bigint;
    v_foreign  integer;
BEGIN
    IF TG_TABLE_NAME = 'ab_tests' THEN
        v_ids := ARRAY[NEW.id];
    ELSE
        v_ids := ARRAY[OLD.ab_test_id, NEW.ab_test_id];
    END IF;

    -- Locked, whatever its status: a transaction that starts the test and one that changes its sides
    -- would otherwise each find it right.
    FOR v_test IN
        SELECT * FROM public.ab_tests WHERE id = ANY (v_ids) ORDER BY id FOR NO KEY UPDATE
    LOOP
        IF v_test.status <> 'running' THEN
            CONTINUE;
        END IF;
        SELECT coalesce(sum(v.traffic_percent), 0), count(*) FILTER (WHERE v.is_control),
               min(v.deployment_id) FILTER (WHERE mv.model_id <> v_test.model_id OR d.environment_id <> v_test.environment_id)
        INTO v_percent, v_controls, v_foreign
        FROM public.ab_test_variants AS v
        JOIN public.model_deployments AS d ON d.id = v.deployment_id
        JOIN public.model_versions AS mv ON mv.id = d.model_version_id
        WHERE v.ab_test_id = v_test.id;

        IF v_percent <> 100 OR v_controls <> 1 THEN
            RAISE EXCEPTION 'A/B test % cannot run: its shares make % %% and it has % control(s)', v_test.test_name, v_percent, v_controls
                USING ERRCODE = 'check_violation',
                      HINT = 'The shares of a running test make 100 %, and exactly one variant is the control.';
        END IF;
        IF v_foreign IS NOT NULL THEN
            RAISE EXCEPTION 'A/B test % cannot run: deployment % is of another model or in another environment', v_test.test_name, v_foreign
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION public.check_running_ab_test() IS
    'Trigger, at the end of the transaction: a running A/B test is whole';

CREATE CONSTRAINT TRIGGER check_running_ab_test AFTER INSERT OR UPDATE ON public.ab_tests
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.check_running_ab_test();

CREATE CONSTRAINT TRIGGER check_running_ab_test AFTER INSERT OR UPDATE OR DELETE ON public.ab_test_variants
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.check_running_ab_test();

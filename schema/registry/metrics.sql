-- Metric formulas. All are immutable, and NULL where a denominator is 0: a metric that is not defined is not a number.
--
-- Classification: counts of true positives (tp), true negatives (tn), false positives (fp) and false negatives (fn).
-- Regression: arrays of actual and predicted values, in the same order; see metric_pairs for what is refused.

CREATE FUNCTION public.metric_accuracy(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (tp::float8 + tn) / nullif(tp::float8 + tn + fp + fn, 0)
$$;
COMMENT ON FUNCTION public.metric_accuracy(bigint, bigint, bigint, bigint) IS
    '(TP + TN) / (TP + TN + FP + FN)';

CREATE FUNCTION public.metric_precision(tp bigint, fp bigint)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tp::float8 / nullif(tp::float8 + fp, 0)
$$;
COMMENT ON FUNCTION public.metric_precision(bigint, bigint) IS
    'TP / (TP + FP)';

CREATE FUNCTION public.metric_recall(tp bigint, fn bigint)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tp::float8 / nullif(tp::float8 + fn, 0)
$$;
COMMENT ON FUNCTION public.metric_recall(bigint, bigint) IS
    'TP / (TP + FN)';

CREATE FUNCTION public.metric_f1(tp bigint, fp bigint, fn bigint)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 2 * p * r / nullif(p + r, 0)
    FROM (SELECT public.metric_precision(tp, fp), public.metric_recall(tp, fn)) AS m (p, r)
$$;
COMMENT ON FUNCTION public.metric_f1(bigint, bigint, bigint) IS
    '2 * precision * recall / (precision + recall); NULL when either is not defined or both are 0';

CREATE FUNCTION public.metric_pairs(actual double precision[], predicted double precision[])
RETURNS TABLE (y double precision, y_hat double precision) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(actual) IS DISTINCT FROM cardinality(predicted) THEN
        RAISE EXCEPTION 'a regression metric needs as many predicted as actual values, not % and %',
                        coalesce(cardinality(predicted), 0), coalesce(cardinality(actual), 0)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF array_position(actual, NULL) IS NOT NULL OR array_position(predicted, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a regression metric takes no NULL among its values'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    RETURN QUERY SELECT u.a, u.p FROM unnest(actual, predicted) AS u (a, p);
END
$$;
COMMENT ON FUNCTION public.metric_pairs(double precision[], double precision[]) IS
    'The pairs that a regression metric is computed from; arrays of different length or with a NULL are an error';

CREATE FUNCTION public.metric_mse(actual double precision[], predicted double precision[])
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT avg((p.y - p.y_hat) * (p.y - p.y_hat)) FROM public.metric_pairs(actual, predicted) AS p
$$;
COMMENT ON FUNCTION public.metric_mse(double precision[], double precision[]) IS
    'Mean of (y - y_hat)^2; NULL for no values';

CREATE FUNCTION public.metric_rmse(actual double precision[], predicted double precision[])
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sqrt(public.metric_mse(actual, predicted))
$$;
COMMENT ON FUNCTION public.metric_rmse(double precision[], double precision[]) IS
    'Square root of the mean squared error; NULL for no values';

CREATE FUNCTION public.metric_mae(actual double precision[], predicted double precision[])
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT avg(abs(p.y - p.y_hat)) FROM public.metric_pairs(actual, predicted) AS p
$$;
COMMENT ON FUNCTION public.metric_mae(double precision[], double precision[]) IS
    'Mean of |y - y_hat|; NULL for no values';

CREATE FUNCTION public.metric_r2(actual double precision[], predicted double precision[])
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1 - sum((p.y - p.y_hat) * (p.y - p.y_hat))
             / nullif(sum((p.y - m.mean) * (p.y - m.mean)), 0)
    FROM public.metric_pairs(actual, predicted) AS p,
         (SELECT avg(u.a) FROM unnest(actual) AS u (a)) AS m (mean)
$$;
COMMENT ON FUNCTION public.metric_r2(double precision[], double precision[]) IS
    '1 - SS_res / SS_tot; NULL when all actual values are equal';

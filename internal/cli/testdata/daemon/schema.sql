CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

-- One row for each run of the job that was committed.
CREATE TABLE work_done (at timestamptz NOT NULL DEFAULT now());
CREATE INDEX work_done_at ON work_done (at);

-- How long what takes, in seconds.
CREATE TABLE knobs (name text PRIMARY KEY, seconds float8 NOT NULL);

CREATE FUNCTION nap(what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_catalog.pg_sleep(coalesce((SELECT seconds FROM public.knobs WHERE name = what), 0));
  RETURN true;
END
$$;

CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.work_done DEFAULT VALUES;
  PERFORM public.nap('work');
END
$$;

CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one, nap('mv') AS rested;
CREATE UNIQUE INDEX mv_one ON mv (one);

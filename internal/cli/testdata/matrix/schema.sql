CREATE TABLE ahead (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

CREATE TABLE spilt (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  note text,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX spilt_note ON spilt (note);

CREATE TABLE whole (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  note text,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX whole_at ON whole (at);

CREATE TABLE straddling (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  note text,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX straddling_at ON straddling (at);

CREATE TABLE plain (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  kind text NOT NULL DEFAULT 'a',
  n integer CONSTRAINT plain_n CHECK (n > 0)
);
CREATE INDEX plain_at ON plain (at);

CREATE TABLE rolled_up (kind text PRIMARY KEY, n bigint NOT NULL);

CREATE PROCEDURE roll_up() LANGUAGE plpgsql AS $$
DECLARE k text;
BEGIN
  FOR k IN SELECT DISTINCT kind FROM public.plain ORDER BY 1 LOOP
    INSERT INTO public.rolled_up SELECT k, count(*) FROM public.plain WHERE kind = k
    ON CONFLICT (kind) DO UPDATE SET n = EXCLUDED.n;
    COMMIT;
  END LOOP;
END
$$;

CREATE MATERIALIZED VIEW by_kind AS SELECT kind, count(*) AS n FROM plain GROUP BY kind;
CREATE UNIQUE INDEX by_kind_kind ON by_kind (kind);
CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM by_kind;

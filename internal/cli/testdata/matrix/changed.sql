CREATE TYPE mood AS ENUM ('bad', 'good');

CREATE TABLE ahead (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  mood mood DEFAULT 'good',
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

CREATE TABLE spilt (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  note text NOT NULL,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX spilt_note ON spilt (note DESC);

CREATE TABLE whole (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  note varchar(100),
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

CREATE TABLE rolled_up (kind text PRIMARY KEY, n bigint NOT NULL);

CREATE TABLE plain (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  kind text NOT NULL DEFAULT 'a',
  n bigint CONSTRAINT plain_n CHECK (n >= 0),
  CONSTRAINT plain_kind FOREIGN KEY (kind) REFERENCES rolled_up
);
CREATE INDEX plain_at ON plain (at);
CREATE INDEX plain_kind_at ON plain (kind, at);

CREATE PROCEDURE roll_up() LANGUAGE plpgsql AS $$
BEGIN
  NULL;
END
$$;

CREATE MATERIALIZED VIEW by_kind AS SELECT kind, count(*) AS n, max(at) AS last FROM plain GROUP BY kind;
CREATE UNIQUE INDEX by_kind_kind ON by_kind (kind);
CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n, max(last) AS last FROM by_kind;
COMMENT ON TABLE plain IS 'Changed.';

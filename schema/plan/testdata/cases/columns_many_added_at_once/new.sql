CREATE TABLE t (id bigint PRIMARY KEY, a int, b text, c timestamptz DEFAULT now(), d bigint REFERENCES t, e int UNIQUE, f int CHECK (f > 0), g text NOT NULL DEFAULT '', h int GENERATED ALWAYS AS (id + 1) VIRTUAL);
COMMENT ON COLUMN t.b IS 'B.';

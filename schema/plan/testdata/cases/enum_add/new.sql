CREATE TYPE mood AS ENUM ('worst', 'bad', 'so so', 'fair', 'good', 'it''s best');
CREATE TABLE t (m mood DEFAULT 'so so', CHECK (m <> 'worst'));
CREATE VIEW v AS SELECT m FROM t WHERE m > 'fair';
CREATE TYPE fresh AS ENUM ('a');
COMMENT ON TYPE mood IS 'Moods.';

CREATE TABLE p (id int, name text DEFAULT 'p', added int);
CREATE TABLE c (own int) INHERITS (p);
ALTER TABLE c ALTER name SET DEFAULT 'c';
ALTER TABLE c ADD CONSTRAINT c_own CHECK (own > 0);
COMMENT ON COLUMN c.name IS 'Its own default.';

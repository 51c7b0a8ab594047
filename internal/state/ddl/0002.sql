-- Version 2: what was declared is remembered, so that a comparison needs no scratch database.

CREATE TABLE pgtender.declared (
    key       text        PRIMARY KEY,
    content   bytea       NOT NULL,
    digest    bytea       NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stamp     text,
    equal     bytea,
    equal_at  timestamptz
);
COMMENT ON TABLE pgtender.declared IS 'What the sources declare, as a scratch database showed it at the last apply. A row that is missing or damaged costs time only: the sources are then loaded again.';
COMMENT ON COLUMN pgtender.declared.key IS 'Digest of all that it follows from: the sources, the policies, the server''s version, encoding and locale, and the program''s reading of catalogs.';
COMMENT ON COLUMN pgtender.declared.content IS 'The declared schema, compressed.';
COMMENT ON COLUMN pgtender.declared.digest IS 'Digest of key and content.';
COMMENT ON COLUMN pgtender.declared.loaded_at IS 'When it was loaded from the sources.';
COMMENT ON COLUMN pgtender.declared.stamp IS 'Stamp of this database''s catalogs when it was last found equal to what is declared.';
COMMENT ON COLUMN pgtender.declared.equal IS 'What was left alone and not compared then, compressed.';
COMMENT ON COLUMN pgtender.declared.equal_at IS 'When it was last found equal.';

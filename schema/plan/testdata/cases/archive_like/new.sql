CREATE TABLE r (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, body varchar(500), took interval GENERATED ALWAYS AS (at - at) VIRTUAL, PRIMARY KEY (id, at), CHECK (body <> '')) PARTITION BY RANGE (at);
CREATE TABLE r_archive (id bigint NOT NULL, at timestamptz NOT NULL, body text, n int, CONSTRAINT r_archive_pkey PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX r_archive_body ON r_archive (body);

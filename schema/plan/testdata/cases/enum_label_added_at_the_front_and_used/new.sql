CREATE TYPE size AS ENUM ('s', 'm', 'l', 'xl');
CREATE TABLE t (id int PRIMARY KEY, s size NOT NULL DEFAULT 's', CONSTRAINT not_xl CHECK (s < 'xl'));
CREATE INDEX t_small ON t (id) WHERE s = 's';

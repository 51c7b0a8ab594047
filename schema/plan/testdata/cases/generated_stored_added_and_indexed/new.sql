CREATE TABLE t (id int PRIMARY KEY, body text NOT NULL, words tsvector GENERATED ALWAYS AS (to_tsvector('pg_catalog.english', body)) STORED);
CREATE INDEX t_words ON t USING gin (words);

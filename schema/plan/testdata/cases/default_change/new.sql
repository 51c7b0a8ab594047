CREATE TABLE t (a int DEFAULT 2, b text DEFAULT 'it''s', c text, d timestamptz DEFAULT clock_timestamp());

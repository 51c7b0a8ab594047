CREATE TABLE t (id int PRIMARY KEY, a text, b int NOT NULL DEFAULT 7, c timestamptz DEFAULT now(), "Odd ""name" varchar(5) COLLATE "C" DEFAULT 'x,(');
COMMENT ON COLUMN t.a IS 'A.';

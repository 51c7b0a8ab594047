CREATE TABLE p (a bigint NOT NULL, b text DEFAULT 'y', d int, CONSTRAINT pos CHECK (a > 1));
CREATE TABLE k (c int) INHERITS (p);
CREATE TABLE alone (a int NOT NULL, b text, CONSTRAINT pos CHECK (a > 0));
CREATE TABLE k2 (d int, e int) INHERITS (p);

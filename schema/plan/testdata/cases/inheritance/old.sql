CREATE TABLE p (a int NOT NULL, b text DEFAULT 'x', CONSTRAINT pos CHECK (a > 0));
CREATE TABLE k (c int) INHERITS (p);
CREATE TABLE alone (a int NOT NULL, b text, CONSTRAINT pos CHECK (a > 0));

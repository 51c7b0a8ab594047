CREATE TYPE size AS ENUM ('m', 'l');
CREATE TABLE t (id int PRIMARY KEY, s size NOT NULL DEFAULT 'm');

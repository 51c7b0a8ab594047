CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TABLE t (m mood DEFAULT 'bad');

CREATE EXTENSION citext;
CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, mail citext UNIQUE);

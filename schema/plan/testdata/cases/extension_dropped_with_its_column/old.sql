CREATE EXTENSION citext;
CREATE TABLE t (id int PRIMARY KEY, mail citext);
CREATE INDEX t_mail ON t (mail);

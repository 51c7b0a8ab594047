CREATE SEQUENCE numbers AS integer;
CREATE TABLE t (id int NOT NULL DEFAULT nextval('numbers'));

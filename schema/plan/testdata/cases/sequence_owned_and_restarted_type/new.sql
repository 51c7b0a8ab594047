CREATE SEQUENCE numbers AS bigint START 1000;
CREATE TABLE t (id int NOT NULL DEFAULT nextval('numbers'));
ALTER SEQUENCE numbers OWNED BY t.id;

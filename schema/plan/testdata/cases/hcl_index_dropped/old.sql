CREATE TABLE t (a int);
CREATE INDEX gone ON t (a);

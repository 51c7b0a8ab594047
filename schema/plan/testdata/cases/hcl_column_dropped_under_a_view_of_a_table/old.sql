CREATE TABLE t (id int PRIMARY KEY, gone text, kept text);

CREATE TABLE r (id int, at date NOT NULL) PARTITION BY RANGE (at);
CREATE UNIQUE INDEX r_u ON r (id, at) WHERE id > 5;

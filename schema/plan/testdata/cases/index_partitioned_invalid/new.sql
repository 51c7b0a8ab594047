CREATE TABLE r (id int, at date NOT NULL) PARTITION BY RANGE (at);
CREATE INDEX r_id ON r (id);

CREATE TABLE r (id int, at date NOT NULL, n bigint) PARTITION BY RANGE (at);
CREATE INDEX r_n ON r (n);

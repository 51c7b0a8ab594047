CREATE TABLE r (id int, at date NOT NULL, kind text) PARTITION BY RANGE (at);
CREATE INDEX r_id ON r (id);
CREATE INDEX r_kind ON r (kind, id);

CREATE TABLE r (id int, at timestamptz NOT NULL, name text) PARTITION BY RANGE (date_trunc('day', at, 'UTC'), name COLLATE "C");
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM ('2024-01-01', MINVALUE) TO ('2024-02-01', MINVALUE);

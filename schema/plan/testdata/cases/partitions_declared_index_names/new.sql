CREATE TABLE r (at date NOT NULL, v text) PARTITION BY RANGE (at);
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (v);
CREATE TABLE r_2_a PARTITION OF r_2 FOR VALUES IN ('a');
CREATE TABLE r_1_lower_idx (n int);
CREATE INDEX by_lower ON r (lower(v));
CREATE INDEX "An index whose name is as long as a name can be in PostgreSQL, b" ON r (v, at, (v || 'x')) INCLUDE (at);
CREATE INDEX again ON r (v);
CREATE INDEX and_again ON r (v) WHERE v <> '';

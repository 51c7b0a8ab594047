CREATE TABLE r (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE c (r_id int, r_at date, CONSTRAINT c_r FOREIGN KEY (r_id, r_at) REFERENCES r);

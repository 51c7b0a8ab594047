CREATE TABLE t (id int PRIMARY KEY, n int, v int GENERATED ALWAYS AS (n + 2) VIRTUAL, CHECK (n > 0), CONSTRAINT v_positive CHECK (v > 0));

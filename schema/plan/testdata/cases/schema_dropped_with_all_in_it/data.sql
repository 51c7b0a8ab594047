INSERT INTO old.t (k) VALUES ('a');

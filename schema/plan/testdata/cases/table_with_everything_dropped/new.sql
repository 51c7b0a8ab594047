CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE c (t bigint);

CREATE DOMAIN percent AS numeric(5,2) DEFAULT 0 CONSTRAINT in_range CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE t (id int PRIMARY KEY, done percent, history percent[]);

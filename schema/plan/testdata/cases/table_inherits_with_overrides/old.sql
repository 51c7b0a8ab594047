CREATE TABLE p (id int, name text DEFAULT 'p');
CREATE TABLE c (own int) INHERITS (p);

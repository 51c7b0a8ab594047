CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b int);
COMMENT ON INDEX t_pkey IS 'Changes.';
COMMENT ON INDEX t_a_key IS 'Stays.';

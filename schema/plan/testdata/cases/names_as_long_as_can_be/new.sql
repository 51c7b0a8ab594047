CREATE TABLE a_table_whose_name_is_as_long_as_postgresql_lets_a_name_be_1234 (id int PRIMARY KEY, n int UNIQUE, CHECK (n > 0));
CREATE INDEX an_index_whose_name_is_as_long_as_postgresql_lets_a_name_be_123 ON a_table_whose_name_is_as_long_as_postgresql_lets_a_name_be_1234 (id, n);

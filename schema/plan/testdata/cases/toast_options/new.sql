CREATE TABLE t (id int, a text) WITH (toast.autovacuum_enabled = false);

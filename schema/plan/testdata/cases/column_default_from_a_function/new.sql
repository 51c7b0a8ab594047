CREATE FUNCTION fresh_code() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 'c1'; END $$;
CREATE TABLE t (id int PRIMARY KEY, code text DEFAULT fresh_code());

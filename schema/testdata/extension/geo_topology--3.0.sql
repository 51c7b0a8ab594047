CREATE TABLE topology.layer (id serial PRIMARY KEY, form @extschema:geo@.shape, near @extschema:vecto@.vec);
CREATE FUNCTION topology.layers() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM topology.layer; END;

CREATE TABLE p (
	id int,
	-- pgtender: renamed from p_key
	CONSTRAINT p_pk PRIMARY KEY (id)
);
CREATE TABLE t (
	id int,
	-- pgtender: renamed from c
	CONSTRAINT t_c CHECK (id > 1),
	-- pgtender: renamed from u
	CONSTRAINT t_u UNIQUE (id),
	-- pgtender: renamed from f
	CONSTRAINT t_f FOREIGN KEY (id) REFERENCES p
);

SELECT nextval('public.u_id_seq') = 8

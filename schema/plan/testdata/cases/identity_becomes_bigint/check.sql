SELECT nextval('public.t_id_seq') = 10

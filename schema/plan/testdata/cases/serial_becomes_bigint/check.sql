SELECT nextval('public.t_id_seq') = 3 AND (SELECT count(*) = 1 FROM public.c JOIN public.t ON t.id = t_id)

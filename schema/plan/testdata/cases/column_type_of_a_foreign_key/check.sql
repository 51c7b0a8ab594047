SELECT count(*) = 1 FROM public.c JOIN public.p ON p.id = p_id

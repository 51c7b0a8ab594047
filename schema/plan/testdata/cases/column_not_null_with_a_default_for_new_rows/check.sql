SELECT sum(a) = 70 AND bool_and(b = 'x') FROM public.t

SELECT bool_and(code = 'c1') FROM public.t

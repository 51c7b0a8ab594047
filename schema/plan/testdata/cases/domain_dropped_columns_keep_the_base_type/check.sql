SELECT name = 'x' FROM public.t

SELECT b = 1 AND g = 3 FROM public.t

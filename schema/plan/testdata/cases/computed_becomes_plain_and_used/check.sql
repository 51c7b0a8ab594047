SELECT a = 3 AND g = 6 FROM public.t

SELECT b = 3 FROM public.t

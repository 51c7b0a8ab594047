SELECT v = 3 FROM public.t

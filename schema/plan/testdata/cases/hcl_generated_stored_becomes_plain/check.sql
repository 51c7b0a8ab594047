SELECT s = 2 FROM public.t

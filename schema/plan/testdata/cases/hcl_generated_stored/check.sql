SELECT s = 3 FROM public.t

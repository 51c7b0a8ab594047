SELECT s = 3 AND v = 3 FROM public.t

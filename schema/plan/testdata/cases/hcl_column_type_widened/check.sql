SELECT n = 5 FROM public.t

SELECT a = 5 AND c = 7 FROM public.k

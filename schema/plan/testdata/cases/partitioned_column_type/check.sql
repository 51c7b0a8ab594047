SELECT n = 7 FROM public.r

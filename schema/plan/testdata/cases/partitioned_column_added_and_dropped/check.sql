SELECT added = 'x' AND v = 2 FROM public.r

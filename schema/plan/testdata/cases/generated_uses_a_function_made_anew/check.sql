SELECT n = 'x' FROM public.t

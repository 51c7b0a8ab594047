SELECT s = 'c' FROM public.t

SELECT g = 6 FROM public.t

SELECT price = 5 FROM public.t

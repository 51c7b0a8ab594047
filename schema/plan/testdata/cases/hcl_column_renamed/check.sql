SELECT price = 9 FROM public.t

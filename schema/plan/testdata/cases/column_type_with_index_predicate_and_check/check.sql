SELECT sum(n) = 16 FROM public.t

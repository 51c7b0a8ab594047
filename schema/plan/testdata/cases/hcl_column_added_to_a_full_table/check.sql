SELECT sum(n) = 35 FROM public.t

SELECT count(*) = 2 AND sum(b) = 14 FROM public.t

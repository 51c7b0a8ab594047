SELECT sum(id) = 3 FROM public.t

SELECT sum(twice) = 24 AND sum(tri) = 36 FROM public.t

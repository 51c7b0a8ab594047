SELECT count(*) = 3 AND max(last) = 9 AND (SELECT last = 9 FROM public.fresh) FROM public.m

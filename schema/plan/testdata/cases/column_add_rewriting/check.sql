SELECT count(DISTINCT u) = 100 AND sum(s) = 10100 AND sum(v) = 15150 AND max(i) = 100 FROM public.t

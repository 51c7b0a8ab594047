SELECT a = 12 AND b = 12 AND c = 11 AND d = 11 AND e = 50 AND f = 19 FROM public.t

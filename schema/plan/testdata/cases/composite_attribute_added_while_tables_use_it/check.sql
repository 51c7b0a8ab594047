SELECT (p).x = 1 AND (p).z IS NULL FROM public.t

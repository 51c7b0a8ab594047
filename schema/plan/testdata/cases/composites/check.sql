SELECT (p).b = 'x' AND (q[1]).b = 'y' AND (p).c IS NULL FROM public.t

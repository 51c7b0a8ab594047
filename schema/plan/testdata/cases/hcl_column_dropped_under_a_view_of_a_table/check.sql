SELECT kept = 'k' FROM public.t

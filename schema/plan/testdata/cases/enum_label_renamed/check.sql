SELECT s::text = 'active' FROM public.t

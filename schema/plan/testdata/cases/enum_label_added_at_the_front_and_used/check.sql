SELECT string_agg(s::text, ',' ORDER BY s) = 'm,l' FROM public.t

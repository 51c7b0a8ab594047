SELECT string_agg(state, ',' ORDER BY id) = 'new,done' FROM public.t

SELECT string_agg(state::text, ',' ORDER BY id) = 'new,done' FROM public.t

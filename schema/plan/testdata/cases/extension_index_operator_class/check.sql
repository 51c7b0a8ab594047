SELECT count(*) = 50 FROM public.t WHERE name LIKE 'name%'

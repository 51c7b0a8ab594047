SELECT string_agg(tag::text, ' ' ORDER BY id) = '{x} {}' FROM public.t

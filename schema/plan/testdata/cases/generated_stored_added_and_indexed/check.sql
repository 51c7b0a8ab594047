SELECT words @@ 'fox' FROM public.t

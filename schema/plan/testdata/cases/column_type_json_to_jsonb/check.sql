SELECT doc @> '{"a": 2}' FROM public.t

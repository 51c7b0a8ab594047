SELECT (b, c, d, e, l)::text = '("{""a"": [1, 2]}",{},0.50,f,101)' FROM public.t

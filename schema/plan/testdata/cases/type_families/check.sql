SELECT n = 42 AND m = 'good'::public.temper AND d = '2024-05-06' AND f = 2.3 AND j @> '{"a": 1}' AND arr = '{1,2}' AND big = 5 FROM public.t

SELECT (amount, m)::text = '(6,ok)' FROM public.purchases

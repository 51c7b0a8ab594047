SELECT n = 2 FROM public.purchases

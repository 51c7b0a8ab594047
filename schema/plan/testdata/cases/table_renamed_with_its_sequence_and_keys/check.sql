SELECT n = 3 FROM public.purchases

SELECT n = 50 AND most = 50 FROM public.m

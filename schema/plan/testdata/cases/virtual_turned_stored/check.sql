SELECT took = '1 day' FROM public.v

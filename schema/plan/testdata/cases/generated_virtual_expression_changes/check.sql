SELECT c = 10 FROM public.t

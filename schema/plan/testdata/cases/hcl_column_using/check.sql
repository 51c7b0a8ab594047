SELECT at = '1970-01-02 00:00+00' FROM public.t

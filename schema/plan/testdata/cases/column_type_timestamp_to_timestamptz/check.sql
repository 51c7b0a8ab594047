SELECT at = '2024-02-29 12:00+00' FROM public.t

SELECT at = '2024-02-29' FROM public.t WHERE id = 1

SELECT pg_catalog.nextval('public.t_a_seq') = 18 AND pg_catalog.nextval('public.t_special') = 4

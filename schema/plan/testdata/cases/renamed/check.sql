SELECT (SELECT string_agg(full_name || mood, ',' ORDER BY id) FROM public.clients) = 'afine,bfine'
	AND (SELECT sum(total) FROM public.purchases WHERE client IN (1, 2)) = 30
	AND (SELECT kind FROM public.events_1) = 'x' AND nextval('public."Numbers"') = 2 AND nextval('public.clients_id_seq') = 3
	AND public.of_customer(1) = 1;

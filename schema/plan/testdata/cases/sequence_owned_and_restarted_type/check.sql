SELECT nextval('public.numbers') = 3

SELECT string_agg((id, flag, extract(epoch FROM at)::int, tags)::text, ' ' ORDER BY id) = '(1,t,86400,"{a,b}") (2,f,0,{c})' FROM public.t

INSERT INTO r SELECT g, '2024-01-01'::date + g % 50, CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 500) g;

INSERT INTO r SELECT g, '2024-01-05' FROM generate_series(1, 9) g;

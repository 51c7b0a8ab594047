INSERT INTO r (at, body) VALUES ('2024-01-05', 'x');

INSERT INTO orders (n) VALUES (3);

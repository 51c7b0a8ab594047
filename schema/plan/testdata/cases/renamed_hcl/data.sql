INSERT INTO orders VALUES (1, 'twelve', 'ok');

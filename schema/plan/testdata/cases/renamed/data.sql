INSERT INTO customer (name) VALUES ('a'), ('b');
INSERT INTO orders (customer, total, placed) VALUES (1, 10, '2024-01-01'), (2, 20, '2024-01-02');
INSERT INTO events VALUES (1, '2024-01-05', 'x');
SELECT nextval('numbers');

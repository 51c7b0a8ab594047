CREATE TABLE orders (id int PRIMARY KEY, n int);
CREATE TABLE lines (o int REFERENCES orders);

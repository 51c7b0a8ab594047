CREATE TABLE "Order" ("from" int);

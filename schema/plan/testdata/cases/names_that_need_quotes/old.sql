CREATE TABLE "Order Lines" ("from" int, "a""b" text);

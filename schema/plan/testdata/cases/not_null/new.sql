CREATE TABLE t (a int NOT NULL, b int, c int NOT NULL, d int CONSTRAINT "T d" NOT NULL, e int NOT NULL);

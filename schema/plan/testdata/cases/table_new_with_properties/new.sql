CREATE TABLE "Weird ""one" (id int CONSTRAINT "pk ""x" PRIMARY KEY, "select" text STORAGE external COMPRESSION pglz COLLATE "C" DEFAULT 'a' NOT NULL, k int NOT NULL NO INHERIT) WITH (fillfactor = 70, toast.autovacuum_enabled = false);
CREATE UNIQUE INDEX "i ""1" ON "Weird ""one" (k);
ALTER TABLE "Weird ""one" REPLICA IDENTITY USING INDEX "i ""1", ALTER "select" SET STATISTICS 500, CLUSTER ON "pk ""x";
CREATE UNLOGGED TABLE u (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL CHECK (b > 0), c int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT -1 MINVALUE -5 MAXVALUE 10));
ALTER TABLE u ADD CONSTRAINT late CHECK (a > 0) NOT VALID, ENABLE ROW LEVEL SECURITY;
COMMENT ON COLUMN "Weird ""one"."select" IS 'back\slash and ''quote''';
COMMENT ON CONSTRAINT "pk ""x" ON "Weird ""one" IS '''quoted''';
CREATE TABLE l (k text, at timestamptz) PARTITION BY LIST (k);
CREATE TABLE h (k int, e int) PARTITION BY HASH (k, (e + 1));

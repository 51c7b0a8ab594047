CREATE TYPE "State $1" AS ENUM ('it''s', 'a\b', '');
CREATE TABLE "Order Lines" ("from" int NOT NULL, "a""b" text, "Größe" "State $1" DEFAULT 'it''s', CONSTRAINT "check me" CHECK ("from" > 0));
CREATE INDEX "i ndex" ON "Order Lines" (lower("a""b")) WHERE "from" > 1;
CREATE VIEW "select" AS SELECT "from" AS "to", "a""b" FROM "Order Lines";
CREATE FUNCTION "do it"("a b" int) RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON COLUMN "Order Lines"."a""b" IS 'A "B".';

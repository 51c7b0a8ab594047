package catalog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
)

// factCases are pairs of databases that differ in one thing each. live and declared are run on top of base; want is
// what Diff must say, and all that it may say: "change key", with "[facts]" for a changed object.
var factCases = []struct {
	name, base, live, declared string
	want                       []string
}{
	// Schemas, extensions, types.
	{"schema comment", "", "COMMENT ON SCHEMA public IS 'other'", "", []string{"changed schema public [comment]"}},
	{"extension version", "CREATE EXTENSION pg_trgm VERSION '1.3'", "", "ALTER EXTENSION pg_trgm UPDATE TO '1.4'", []string{"changed extension pg_trgm [version]"}},
	{"extension comment", "CREATE EXTENSION citext", "COMMENT ON EXTENSION citext IS 'x'", "", []string{"changed extension citext [comment]"}},
	{"extension missing", "", "", "CREATE EXTENSION citext", []string{"missing extension citext"}},
	{"enum value", "", "CREATE TYPE e AS ENUM ('a', 'b')", "CREATE TYPE e AS ENUM ('a', 'b', 'c')", []string{"changed enum public.e [labels]"}},
	{"enum order", "", "CREATE TYPE e AS ENUM ('a', 'b')", "CREATE TYPE e AS ENUM ('b', 'a')", []string{"changed enum public.e [labels]"}},
	{"enum quote", "", "CREATE TYPE e AS ENUM ('a, b')", "CREATE TYPE e AS ENUM ('a', 'b')", []string{"changed enum public.e [labels]"}},
	{"enum comment", "CREATE TYPE e AS ENUM ('a')", "", "COMMENT ON TYPE e IS 'x'", []string{"changed enum public.e [comment]"}},
	{"domain type", "", "CREATE DOMAIN d AS integer", "CREATE DOMAIN d AS bigint", []string{"changed domain public.d [type]"}},
	{"domain default", "CREATE DOMAIN d AS integer", "", "ALTER DOMAIN d SET DEFAULT 1", []string{"changed domain public.d [default]"}},
	{"domain not null", "CREATE DOMAIN d AS integer", "", "ALTER DOMAIN d SET NOT NULL", []string{"changed domain public.d [not null, not null name]"}},
	{"domain not null name", "", "CREATE DOMAIN d AS integer CONSTRAINT a NOT NULL", "CREATE DOMAIN d AS integer CONSTRAINT b NOT NULL", []string{"changed domain public.d [not null name]"}},
	{"domain collation", "", "CREATE DOMAIN d AS text", `CREATE DOMAIN d AS text COLLATE "C"`, []string{"changed domain public.d [collation]"}},
	{"domain check", "CREATE DOMAIN d AS integer", "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0)", "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 1)", []string{"changed domain public.d [constraint c]"}},
	{"domain check not valid", "CREATE DOMAIN d AS integer", "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID", "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0)", []string{"changed domain public.d [constraint c]"}},
	{"domain check comment", "CREATE DOMAIN d AS integer CONSTRAINT c CHECK (VALUE > 0)", "", "COMMENT ON CONSTRAINT c ON DOMAIN d IS 'x'", []string{"changed domain public.d [comment on constraint c]"}},

	// Sequences.
	{"sequence option", "", "CREATE SEQUENCE s", "CREATE SEQUENCE s CACHE 10", []string{"changed sequence public.s [sequence options]"}},
	{"sequence type", "", "CREATE SEQUENCE s MAXVALUE 100", "CREATE SEQUENCE s AS integer MAXVALUE 100", []string{"changed sequence public.s [sequence options]"}},
	{"sequence position", "CREATE SEQUENCE s", "SELECT nextval('s')", "", nil},
	{"sequence owner column", "CREATE SEQUENCE s; CREATE TABLE t (a integer)", "", "ALTER SEQUENCE s OWNED BY t.a", []string{"changed sequence public.s [owned by]"}},
	{"sequence unlogged", "", "CREATE SEQUENCE s", "CREATE UNLOGGED SEQUENCE s", []string{"changed sequence public.s [persistence]"}},
	{"sequence comment", "CREATE SEQUENCE s", "", "COMMENT ON SEQUENCE s IS 'x'", []string{"changed sequence public.s [comment]"}},

	// Tables.
	{"table missing", "", "", "CREATE TABLE t (a integer)", []string{"missing table public.t", "missing column public.t.a"}},
	{"table extra", "", "CREATE TABLE t (a integer)", "", []string{"extra table public.t", "extra column public.t.a"}},
	{"table comment", "CREATE TABLE t (a integer)", "COMMENT ON TABLE t IS 'x'", "COMMENT ON TABLE t IS 'y'", []string{"changed table public.t [comment]"}},
	{"table unlogged", "", "CREATE TABLE t (a integer)", "CREATE UNLOGGED TABLE t (a integer)", []string{"changed table public.t [persistence]"}},
	{"table fillfactor", "CREATE TABLE t (a integer)", "", "ALTER TABLE t SET (fillfactor = 70)", []string{"changed table public.t [options]"}},
	{"toast option", "CREATE TABLE t (a text)", "", "ALTER TABLE t SET (toast.autovacuum_enabled = off)", []string{"changed table public.t [options]"}},
	{"row security", "CREATE TABLE t (a integer)", "", "ALTER TABLE t ENABLE ROW LEVEL SECURITY", []string{"changed table public.t [row security]"}},
	{"row security forced", "CREATE TABLE t (a integer); ALTER TABLE t ENABLE ROW LEVEL SECURITY", "", "ALTER TABLE t FORCE ROW LEVEL SECURITY", []string{"changed table public.t [row security]"}},
	{"replica identity", "CREATE TABLE t (a integer)", "", "ALTER TABLE t REPLICA IDENTITY FULL", []string{"changed table public.t [replica identity]"}},
	{"replica identity index", "CREATE TABLE t (a integer NOT NULL); CREATE UNIQUE INDEX i ON t (a); CREATE UNIQUE INDEX j ON t (a)",
		"ALTER TABLE t REPLICA IDENTITY USING INDEX i", "ALTER TABLE t REPLICA IDENTITY USING INDEX j", []string{"changed table public.t [replica identity]"}},
	{"partition strategy", "", "CREATE TABLE t (a integer) PARTITION BY RANGE (a)", "CREATE TABLE t (a integer) PARTITION BY LIST (a)", []string{"changed table public.t [partition by]"}},
	{"partition key after a dropped column", "", "CREATE TABLE t (x integer, a integer, b integer) PARTITION BY RANGE (a); ALTER TABLE t DROP COLUMN x",
		"CREATE TABLE t (a integer, b integer) PARTITION BY RANGE (a)", nil},
	{"inherits", "CREATE TABLE p (a integer); CREATE TABLE t (a integer)", "", "ALTER TABLE t INHERIT p",
		[]string{"changed table public.t [inherits]", "changed column public.t.a [inherited]"}},

	// Columns.
	{"column missing", "CREATE TABLE t (a integer)", "", "ALTER TABLE t ADD b integer", []string{"missing column public.t.b"}},
	{"column extra", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD b integer", "", []string{"extra column public.t.b"}},
	{"column order", "", "CREATE TABLE t (a integer, b integer)", "CREATE TABLE t (b integer, a integer)", nil},
	{"column type", "", "CREATE TABLE t (a integer)", "CREATE TABLE t (a bigint)", []string{"changed column public.t.a [type]"}},
	{"column length", "", "CREATE TABLE t (a varchar(10))", "CREATE TABLE t (a varchar(20))", []string{"changed column public.t.a [type]"}},
	{"column scale", "", "CREATE TABLE t (a numeric(10,2))", "CREATE TABLE t (a numeric(10,3))", []string{"changed column public.t.a [type]"}},
	{"column array", "", "CREATE TABLE t (a integer)", "CREATE TABLE t (a integer[])", []string{"changed column public.t.a [type]"}},
	{"column default", "CREATE TABLE t (a integer)", "ALTER TABLE t ALTER a SET DEFAULT 1", "ALTER TABLE t ALTER a SET DEFAULT 2", []string{"changed column public.t.a [default]"}},
	{"column comment", "CREATE TABLE t (a integer)", "", "COMMENT ON COLUMN t.a IS 'x'", []string{"changed column public.t.a [comment]"}},
	{"column collation", "", "CREATE TABLE t (a text)", `CREATE TABLE t (a text COLLATE "C")`, []string{"changed column public.t.a [collation]"}},
	{"column storage", "CREATE TABLE t (a text)", "", "ALTER TABLE t ALTER a SET STORAGE EXTERNAL", []string{"changed column public.t.a [storage]"}},
	{"column compression", "CREATE TABLE t (a text)", "", "ALTER TABLE t ALTER a SET COMPRESSION pglz", []string{"changed column public.t.a [compression]"}},
	{"column statistics target", "CREATE TABLE t (a text)", "", "ALTER TABLE t ALTER a SET STATISTICS 500", []string{"changed column public.t.a [statistics target]"}},
	{"column options", "CREATE TABLE t (a text)", "", "ALTER TABLE t ALTER a SET (n_distinct = 5)", []string{"changed column public.t.a [options]"}},
	{"stored or virtual", "", "CREATE TABLE t (a integer, b integer GENERATED ALWAYS AS (a + 1) STORED)", "CREATE TABLE t (a integer, b integer GENERATED ALWAYS AS (a + 1) VIRTUAL)", []string{"changed column public.t.b [generated]"}},
	{"generation expression", "", "CREATE TABLE t (a integer, b integer GENERATED ALWAYS AS (a + 1) STORED)", "CREATE TABLE t (a integer, b integer GENERATED ALWAYS AS (a + 2) STORED)", []string{"changed column public.t.b [expression]"}},
	{"generated or default", "", "CREATE TABLE t (a integer DEFAULT 1)", "CREATE TABLE t (a integer GENERATED ALWAYS AS (1) STORED)", []string{"changed column public.t.a [default, expression, generated]"}},
	{"identity kind", "", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY)", "CREATE TABLE t (a integer GENERATED BY DEFAULT AS IDENTITY)", []string{"changed column public.t.a [identity]"}},
	{"identity option", "", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY)", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY (INCREMENT BY 5))", []string{"changed column public.t.a [sequence options]"}},
	{"identity sequence name", "", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY)", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME other))", []string{"changed column public.t.a [sequence name]"}},
	{"identity sequence comment", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY)", "", "COMMENT ON SEQUENCE t_a_seq IS 'x'", []string{"changed column public.t.a [sequence comment]"}},
	{"identity or plain", "", "CREATE TABLE t (a integer NOT NULL)", "CREATE TABLE t (a integer GENERATED ALWAYS AS IDENTITY)", []string{"changed column public.t.a [identity, sequence options]"}},

	// NOT NULL.
	{"not null", "CREATE TABLE t (a integer)", "", "ALTER TABLE t ALTER a SET NOT NULL", []string{"changed column public.t.a [not null]", "missing constraint public.t.t_a_not_null"}},
	{"not null name", "", "CREATE TABLE t (a integer CONSTRAINT x NOT NULL)", "CREATE TABLE t (a integer NOT NULL)", []string{"missing constraint public.t.t_a_not_null", "extra constraint public.t.x"}},
	{"not null not valid", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT n NOT NULL a NOT VALID", "ALTER TABLE t ADD CONSTRAINT n NOT NULL a", []string{"changed constraint public.t.n [definition, valid]"}},
	{"not null no inherit", "", "CREATE TABLE t (a integer CONSTRAINT n NOT NULL)", "CREATE TABLE t (a integer CONSTRAINT n NOT NULL NO INHERIT)", []string{"changed constraint public.t.n [definition]"}},

	// Keys.
	{"primary key missing", "CREATE TABLE t (a integer NOT NULL)", "", "ALTER TABLE t ADD PRIMARY KEY (a)", []string{"missing constraint public.t.t_pkey"}},
	{"primary key name", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT mine PRIMARY KEY (a)", "ALTER TABLE t ADD PRIMARY KEY (a)", []string{"extra constraint public.t.mine", "missing constraint public.t.t_pkey"}},
	{"primary key columns", "CREATE TABLE t (a integer NOT NULL, b integer NOT NULL)", "ALTER TABLE t ADD PRIMARY KEY (a)", "ALTER TABLE t ADD PRIMARY KEY (a, b)", []string{"changed constraint public.t.t_pkey [definition]"}},
	{"primary key fillfactor", "CREATE TABLE t (a integer NOT NULL)", "ALTER TABLE t ADD PRIMARY KEY (a)", "ALTER TABLE t ADD PRIMARY KEY (a) WITH (fillfactor = 80)", []string{"changed constraint public.t.t_pkey [options]"}},
	{"primary key temporal", "CREATE EXTENSION btree_gist; CREATE TABLE t (a integer NOT NULL, r daterange NOT NULL)", "ALTER TABLE t ADD PRIMARY KEY (a, r)", "ALTER TABLE t ADD PRIMARY KEY (a, r WITHOUT OVERLAPS)", []string{"changed constraint public.t.t_pkey [definition]"}},
	{"unique nulls not distinct", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (a)", []string{"changed constraint public.t.u [definition]"}},
	{"unique include", "CREATE TABLE t (a integer, b integer)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a) INCLUDE (b)", []string{"changed constraint public.t.u [definition]"}},
	{"unique deferrable", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a) DEFERRABLE", []string{"changed constraint public.t.u [definition]"}},
	{"unique constraint or index", "CREATE TABLE t (a integer)", "CREATE UNIQUE INDEX u ON t (a)", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)", []string{"missing constraint public.t.u", "extra index public.t.u"}},
	{"constraint comment", "CREATE TABLE t (a integer CONSTRAINT u UNIQUE)", "", "COMMENT ON CONSTRAINT u ON t IS 'x'", []string{"changed constraint public.t.u [comment]"}},
	{"constraint index comment", "CREATE TABLE t (a integer CONSTRAINT u UNIQUE)", "", "COMMENT ON INDEX u IS 'x'", []string{"changed constraint public.t.u [index comment]"}},
	{"constraint clustered", "CREATE TABLE t (a integer CONSTRAINT u UNIQUE)", "", "ALTER TABLE t CLUSTER ON u", []string{"changed constraint public.t.u [clustered]"}},
	{"exclusion", "CREATE TABLE t (r int4range)", "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING gist (r WITH &&)", "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING gist (r WITH &&) WHERE (NOT isempty(r))", []string{"changed constraint public.t.x [definition]"}},

	// Foreign keys and checks.
	{"foreign key action", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p ON DELETE CASCADE", []string{"changed constraint public.t.f [definition]"}},
	{"foreign key not valid", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p NOT VALID", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p", []string{"changed constraint public.t.f [definition, valid]"}},
	{"foreign key not enforced", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p NOT ENFORCED", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p", []string{"changed constraint public.t.f [definition, valid]"}},
	{"foreign key deferred", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p DEFERRABLE", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p DEFERRABLE INITIALLY DEFERRED", []string{"changed constraint public.t.f [definition]"}},
	{"foreign key triggers disabled", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer CONSTRAINT f REFERENCES p)", "ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE p DISABLE TRIGGER ALL", "", []string{"changed constraint public.t.f [enabled]"}},
	{"foreign key triggers half disabled", "CREATE TABLE p (a integer PRIMARY KEY); CREATE TABLE t (a integer CONSTRAINT f REFERENCES p)", "ALTER TABLE t DISABLE TRIGGER ALL", "", []string{"changed constraint public.t.f [enabled]"}},
	{"foreign key to a partitioned table", "CREATE TABLE p (a integer PRIMARY KEY) PARTITION BY RANGE (a); CREATE TABLE t (a integer CONSTRAINT f REFERENCES p)", "ALTER TABLE t ADD b integer", "ALTER TABLE t ADD b integer", nil},
	{"temporal foreign key", "CREATE EXTENSION btree_gist; CREATE TABLE p (a integer, r daterange, PRIMARY KEY (a, r WITHOUT OVERLAPS)); CREATE TABLE t (a integer, r daterange)",
		"", "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a, PERIOD r) REFERENCES p (a, PERIOD r)", []string{"missing constraint public.t.f"}},
	{"check", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)", []string{"changed constraint public.t.c [definition]"}},
	{"check not valid", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", []string{"changed constraint public.t.c [definition, valid]"}},
	{"check not enforced", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", []string{"changed constraint public.t.c [definition, valid]"}},
	{"check no inherit", "CREATE TABLE t (a integer)", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NO INHERIT", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", []string{"changed constraint public.t.c [definition]"}},
	{"check without a column", "CREATE TABLE t (a integer)", "", "ALTER TABLE t ADD CONSTRAINT c CHECK (now() > '2020-01-01')", []string{"missing constraint public.t.c"}},

	// Indexes.
	{"index missing", "CREATE TABLE t (a integer)", "", "CREATE INDEX i ON t (a)", []string{"missing index public.t.i"}},
	{"index invalid", "CREATE TABLE t (a integer); CREATE INDEX i ON t (a)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass", "", []string{"changed index public.t.i [valid]"}},
	{"index not ready", "CREATE TABLE t (a integer); CREATE INDEX i ON t (a)", "UPDATE pg_index SET indisready = false WHERE indexrelid = 'i'::regclass", "", []string{"changed index public.t.i [valid]"}},
	{"index method", "CREATE TABLE t (a integer)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t USING hash (a)", []string{"changed index public.t.i [definition]"}},
	{"index direction", "CREATE TABLE t (a integer)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a DESC NULLS LAST)", []string{"changed index public.t.i [definition]"}},
	{"index collation", "CREATE TABLE t (a text)", "CREATE INDEX i ON t (a)", `CREATE INDEX i ON t (a COLLATE "C")`, []string{"changed index public.t.i [definition]"}},
	{"index operator class", "CREATE TABLE t (a text)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a text_pattern_ops)", []string{"changed index public.t.i [definition]"}},
	{"index predicate", "CREATE TABLE t (a integer)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a) WHERE a > 0", []string{"changed index public.t.i [definition]"}},
	{"index include", "CREATE TABLE t (a integer, b integer)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a) INCLUDE (b)", []string{"changed index public.t.i [definition]"}},
	{"index nulls not distinct", "CREATE TABLE t (a integer)", "CREATE UNIQUE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a) NULLS NOT DISTINCT", []string{"changed index public.t.i [definition]"}},
	{"index fillfactor", "CREATE TABLE t (a integer)", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a) WITH (fillfactor = 70)", []string{"changed index public.t.i [definition]"}},
	{"index pages per range", "CREATE TABLE t (a integer)", "CREATE INDEX i ON t USING brin (a)", "CREATE INDEX i ON t USING brin (a) WITH (pages_per_range = 8)", []string{"changed index public.t.i [definition]"}},
	{"index comment", "CREATE TABLE t (a integer); CREATE INDEX i ON t (a)", "", "COMMENT ON INDEX i IS 'x'", []string{"changed index public.t.i [comment]"}},
	{"index clustered", "CREATE TABLE t (a integer); CREATE INDEX i ON t (a)", "", "ALTER TABLE t CLUSTER ON i", []string{"changed index public.t.i [clustered]"}},
	{"index statistics target", "CREATE TABLE t (a integer); CREATE INDEX i ON t ((a + 1))", "", "ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 500", []string{"changed index public.t.i [statistics target of column 1]"}},
	{"index depends on extension", "CREATE EXTENSION citext; CREATE TABLE t (a integer); CREATE INDEX i ON t (a)", "", "ALTER INDEX i DEPENDS ON EXTENSION citext", []string{"changed index public.t.i [depends on extension]"}},
	{"partitioned index on only", "CREATE TABLE t (a integer) PARTITION BY RANGE (a); CREATE TABLE c PARTITION OF t DEFAULT", "CREATE INDEX i ON ONLY t (a)", "CREATE INDEX i ON t (a)", []string{"changed index public.t.i [valid]"}},

	// Extended statistics.
	{"statistics kinds", "CREATE TABLE t (a integer, b integer)", "CREATE STATISTICS s ON a, b FROM t", "CREATE STATISTICS s (ndistinct) ON a, b FROM t", []string{"changed statistics public.s [definition]"}},
	{"statistics column order", "", "CREATE TABLE t (b integer, a integer); CREATE STATISTICS s (mcv) ON a, b, (a * 2), (a + b) FROM t", "CREATE TABLE t (a integer, b integer); CREATE STATISTICS s (mcv) ON (a + b), b, (a * 2), a FROM t", nil},
	{"statistics expression", "CREATE TABLE t (a integer, b integer)", "CREATE STATISTICS s ON (a + b) FROM t", "CREATE STATISTICS s ON (a - b) FROM t", []string{"changed statistics public.s [definition]"}},
	{"statistics target", "CREATE TABLE t (a integer, b integer); CREATE STATISTICS s ON a, b FROM t", "", "ALTER STATISTICS s SET STATISTICS 500", []string{"changed statistics public.s [statistics target]"}},
	{"statistics comment", "CREATE TABLE t (a integer, b integer); CREATE STATISTICS s ON a, b FROM t", "", "COMMENT ON STATISTICS s IS 'x'", []string{"changed statistics public.s [comment]"}},

	// Views.
	{"view body", "CREATE TABLE t (a integer)", "CREATE VIEW v AS SELECT a FROM t", "CREATE VIEW v AS SELECT a FROM t WHERE a > 0", []string{"changed view public.v [definition]"}},
	{"view option", "CREATE TABLE t (a integer); CREATE VIEW v AS SELECT a FROM t", "", "ALTER VIEW v SET (security_invoker = true)", []string{"changed view public.v [options]"}},
	{"view check option", "CREATE TABLE t (a integer)", "CREATE VIEW v AS SELECT a FROM t", "CREATE VIEW v AS SELECT a FROM t WITH CHECK OPTION", []string{"changed view public.v [options]"}},
	{"view comment", "CREATE VIEW v AS SELECT 1 AS a", "", "COMMENT ON VIEW v IS 'x'", []string{"changed view public.v [comment]"}},
	{"view column comment", "CREATE VIEW v AS SELECT 1 AS a", "", "COMMENT ON COLUMN v.a IS 'x'", []string{"changed view public.v [comment on column a]"}},
	{"view column default", "CREATE TABLE t (a integer); CREATE VIEW v AS SELECT a FROM t", "", "ALTER VIEW v ALTER a SET DEFAULT 7", []string{"changed view public.v [column a]"}},
	{"materialised view body", "", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "CREATE MATERIALIZED VIEW m AS SELECT 2 AS a", []string{"changed materialized view public.m [definition]"}},
	{"materialised view option", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "", "ALTER MATERIALIZED VIEW m SET (fillfactor = 50)", []string{"changed materialized view public.m [options]"}},
	{"materialised view column", "CREATE MATERIALIZED VIEW m AS SELECT 'x'::text AS a", "", "ALTER MATERIALIZED VIEW m ALTER a SET STATISTICS 7", []string{"changed materialized view public.m [column a]"}},
	{"materialised view comment", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "", "COMMENT ON MATERIALIZED VIEW m IS 'x'", []string{"changed materialized view public.m [comment]"}},
	{"materialised view index", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "", "CREATE UNIQUE INDEX i ON m (a)", []string{"missing index public.m.i"}},
	{"materialised view populated", "", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA", nil},

	// Routines.
	{"function body", "", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 2'", []string{"changed function public.f() [definition]"}},
	{"function volatility", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "ALTER FUNCTION f() IMMUTABLE", []string{"changed function public.f() [definition]"}},
	{"function parallel", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "ALTER FUNCTION f() PARALLEL SAFE", []string{"changed function public.f() [definition]"}},
	{"function cost", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "ALTER FUNCTION f() COST 7", []string{"changed function public.f() [definition]"}},
	{"function security", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "ALTER FUNCTION f() SECURITY DEFINER", []string{"changed function public.f() [definition]"}},
	{"function setting", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "ALTER FUNCTION f() SET work_mem = '1MB'", []string{"changed function public.f() [definition]"}},
	{"function argument default", "", "CREATE FUNCTION f(a integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION f(a integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1'", []string{"changed function public.f(integer) [definition]"}},
	{"function overload", "CREATE FUNCTION f(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "CREATE FUNCTION f(text) RETURNS integer LANGUAGE sql AS 'SELECT 1'", []string{"missing function public.f(text)"}},
	{"function comment", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "", "COMMENT ON FUNCTION f() IS 'x'", []string{"changed function public.f() [comment]"}},
	{"procedure body", "", "CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1'", "CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 2'", []string{"changed procedure public.f() [definition]"}},
	{"procedure or function", "", "CREATE PROCEDURE f() LANGUAGE sql AS ''", "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS ''", []string{"missing function public.f()", "extra procedure public.f()"}},

	// Triggers, policies, rules.
	{"trigger event", withTable, "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()", []string{"changed trigger public.t.g [definition]"}},
	{"trigger disabled", withTable + "; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "ALTER TABLE t DISABLE TRIGGER g", "", []string{"changed trigger public.t.g [enabled]"}},
	{"trigger always", withTable + "; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "", "ALTER TABLE t ENABLE ALWAYS TRIGGER g", []string{"changed trigger public.t.g [enabled]"}},
	{"trigger comment", withTable + "; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "", "COMMENT ON TRIGGER g ON t IS 'x'", []string{"changed trigger public.t.g [comment]"}},
	{"constraint trigger", withTable, "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f()", []string{"changed trigger public.t.g [definition]"}},
	{"view trigger", withTable + "; CREATE VIEW v AS SELECT a FROM t", "", "CREATE TRIGGER g INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f()", []string{"missing trigger public.v.g"}},
	{"policy command", "CREATE TABLE t (a integer)", "CREATE POLICY p ON t USING (true)", "CREATE POLICY p ON t FOR SELECT USING (true)", []string{"changed policy public.t.p [definition]"}},
	{"policy kind", "CREATE TABLE t (a integer)", "CREATE POLICY p ON t USING (true)", "CREATE POLICY p ON t AS RESTRICTIVE USING (true)", []string{"changed policy public.t.p [definition]"}},
	{"policy role", "CREATE TABLE t (a integer)", "CREATE POLICY p ON t USING (true)", "CREATE POLICY p ON t TO pg_monitor USING (true)", []string{"changed policy public.t.p [definition]"}},
	{"policy check", "CREATE TABLE t (a integer)", "CREATE POLICY p ON t USING (true)", "CREATE POLICY p ON t USING (true) WITH CHECK (a > 0)", []string{"changed policy public.t.p [definition]"}},
	{"policy comment", "CREATE TABLE t (a integer); CREATE POLICY p ON t USING (true)", "", "COMMENT ON POLICY p ON t IS 'x'", []string{"changed policy public.t.p [comment]"}},
	{"rule", "CREATE TABLE t (a integer)", "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", "CREATE RULE r AS ON UPDATE TO t DO INSTEAD NOTHING", []string{"changed rule public.t.r [definition]"}},
	{"rule disabled", "CREATE TABLE t (a integer); CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", "ALTER TABLE t DISABLE RULE r", "", []string{"changed rule public.t.r [enabled]"}},
	{"rule comment", "CREATE TABLE t (a integer); CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", "", "COMMENT ON RULE r ON t IS 'x'", []string{"changed rule public.t.r [comment]"}},
}

const withTable = "CREATE TABLE t (a integer); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"

func TestEachFactShows(t *testing.T) {
	conn := connect(t, pgtest.Database(t))
	for _, c := range factCases {
		t.Run(c.name, func(t *testing.T) {
			live := snapshot(t, conn, public, c.base, c.live)
			declared := snapshot(t, conn, public, c.base, c.declared)
			if diff := cmp.Diff(slices.Sorted(slices.Values(c.want)), describe(catalog.Diff(live, declared))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if same := live.Fingerprint() == declared.Fingerprint(); same != (len(c.want) == 0) {
				t.Errorf("fingerprints are equal: %v", same)
			}
			again := snapshot(t, conn, public, c.base, c.live)
			if diff := cmp.Diff(live, again); diff != "" {
				t.Errorf("a second reading of the same differs:\n%s", diff)
			}
		})
	}
}

func describe(differences []catalog.Difference) []string {
	var out []string
	for _, d := range differences {
		s := fmt.Sprintf("%s %s", d.Change, d.Key)
		for i, delta := range d.Deltas {
			s += map[bool]string{true: " [", false: ", "}[i == 0] + delta.Name
		}
		if len(d.Deltas) > 0 {
			s += "]"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

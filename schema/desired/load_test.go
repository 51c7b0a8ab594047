package desired_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

// Objects may be declared in any order, in any file.
func TestOrderDoesNotMatter(t *testing.T) {
	files := map[string]string{
		"1_views.sql":    "CREATE VIEW w AS SELECT name FROM v WHERE score(name) > 0;\nCREATE MATERIALIZED VIEW m AS SELECT * FROM w;\nCREATE UNIQUE INDEX m_i ON m (name);\nCREATE VIEW v AS SELECT name FROM people;",
		"2_triggers.sql": "CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();\nCOMMENT ON TRIGGER touch ON people IS 'x';",
		"3_tables.hcl": `table "people" {
  schema = schema.public
  column "name" {
    type = sql("public.citext")
  }
  column "mood" {
    type = enum.mood
    default = "ok"
  }
  check "scored" {
    expr = "public.score(name) >= 0"
  }
}
enum "mood" {
  schema = schema.public
  values = ["ok", "it's bad"]
}
schema "public" {}`,
		"4_functions.sql": "CREATE FUNCTION all_people() RETURNS SETOF people LANGUAGE sql AS 'SELECT * FROM public.people';\n" +
			"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';\n" +
			"CREATE FUNCTION score(name citext) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT CASE WHEN name = 'x' THEN 0 ELSE 1 END; END;",
		"5_extension.sql": "CREATE EXTENSION citext;",
	}
	r := mustLoad(t, files)
	ordered := map[string]string{}
	for i, name := range []string{"5_extension.sql", "3_tables.hcl", "4_functions.sql", "1_views.sql", "2_triggers.sql"} {
		ordered[fmt.Sprintf("%d%s", i, filepath.Ext(name))] = files[name]
	}
	if d := catalog.Diff(r.Snapshot, mustLoad(t, ordered).Snapshot); len(d) > 0 {
		t.Errorf("another order of files makes a difference: %v", d)
	}
	var got []string
	for _, o := range r.Snapshot.Objects {
		if o.Key.Kind != catalog.Column {
			got = append(got, o.Key.String())
		}
	}
	want := []string{
		"extension citext", "extension plpgsql", "schema public",
		"function public.all_people()", "materialized view public.m", "enum public.mood", "table public.people",
		"function public.score(public.citext)", "function public.touch()", "view public.v", "view public.w", "index public.m.m_i",
		"constraint public.people.people_mood_not_null", "constraint public.people.people_name_not_null", "constraint public.people.scored", "trigger public.people.touch",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := fact(t, r, catalog.Key{Kind: catalog.Enum, Schema: "public", Name: "mood"}, catalog.FactLabels); got != "'ok', 'it''s bad'" {
		t.Errorf("labels %s", got)
	}
	if diff := cmp.Diff([]string{"citext", "plpgsql"}, r.Scope.Extensions); diff != "" {
		t.Errorf("extensions (-want +got)\n%s", diff)
	}
}

func TestVirtualIsVirtual(t *testing.T) {
	files := map[string]string{"t.hcl": tableHCL(`column "b" {
    type = int
    null = true
    as {
      expr = "a + 1 -- STORED"
      type = VIRTUAL
    }
  }
  column "c" {
    type = int
    null = true
    as {
      expr = "(a + (2 * a))"
      type = "VIRTUAL"
    }
  }
  column "d" {
    type = int
    null = true
    as {
      expr = "a + 3"
      type = STORED
    }
  }
  column "e" {
    type = text
    null = true
    as {
      expr = <<-SQL
        CASE WHEN a > 0
        THEN 'STORED' END
      SQL
      type = VIRTUAL
    }
  }
  column "f" {
    type = int
    null = true
    as = "a + 4"
  }`)}
	r := mustLoad(t, files)
	for name, want := range map[string][2]string{
		"b": {"virtual", "(a + 1)"}, "c": {"virtual", "(a + (2 * a))"}, "d": {"stored", "(a + 3)"},
		"e": {"virtual", "\nCASE\n    WHEN (a > 0) THEN 'STORED'::text\n    ELSE NULL::text\nEND"}, "f": {"stored", "(a + 4)"},
	} {
		got := [2]string{fact(t, r, column("t", name), catalog.FactGenerated), fact(t, r, column("t", name), catalog.FactExpression)}
		if got != want {
			t.Errorf("column %s is %q, want %q", name, got, want)
		}
	}
}

// Everything that Atlas's HCL can say comes out as SQL says it.
func TestHCLMeansWhatSQLMeans(t *testing.T) {
	hcl := `
schema "public" {}
schema "app" {
  comment = "'quoted' it's"
}
locals {
  note = "from a local"
}
table "parent" {
  schema  = schema.app
  comment = local.note
  column "id" {
    type = bigint
    identity {
      generated = ALWAYS
      start     = 10
      increment = 5
    }
  }
  column "we\"ird" {
    type    = varchar(20)
    null    = true
    default = "it's"
    comment = "'all quoted'"
  }
  column "at" {
    type    = timestamptz(3)
    default = sql("now()")
  }
  column "n" {
    type    = numeric(10, 2)
    default = 1.5
  }
  column "tags" {
    type    = sql("text[]")
    default = sql("'{}'")
  }
  column "data" {
    type    = jsonb
    default = "{}"
  }
  column "flag" {
    type    = boolean
    default = true
  }
  column "s" {
    type = serial
  }
  primary_key "parent_key" {
    columns = [column.id]
    include = [column.n]
  }
  unique "u" {
    columns        = [column.n, column.at]
    include        = [column.flag]
    nulls_distinct = false
    comment        = "on the index"
  }
  index "i_gin" {
    type = GIN
    on {
      column = column.data
      ops    = jsonb_path_ops
    }
  }
  index "i_part" {
    unique  = true
    where   = "flag"
    include = [column.s]
    comment = "partial"
    on {
      column     = column.at
      desc       = true
      nulls_last = true
    }
    on {
      expr = "lower(\"we\"\"ird\")"
    }
  }
  index "i_brin" {
    type           = BRIN
    columns        = [column.at]
    page_per_range = 8
  }
  check "positive" {
    expr = "n > 0"
  }
  check {
    expr = "s >= 0"
  }
}
table "child" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "day" {
    type = date
  }
  column "parent" {
    type = bigint
    null = true
  }
  primary_key {
    columns = [column.id, column.day]
  }
  foreign_key "fk" {
    columns     = [column.parent]
    ref_columns = [table.parent.column.id]
    on_delete   = SET_NULL
    on_update   = CASCADE
  }
  partition {
    type    = RANGE
    columns = [column.day]
  }
}
table "listed" {
  schema = schema.public
  column "k" {
    type = text
  }
  partition {
    type = LIST
    by {
      expr = "lower(k)"
    }
  }
}`
	sql := `
CREATE SCHEMA app;
COMMENT ON SCHEMA app IS '''quoted'' it''s';
CREATE TABLE app.parent (
  id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5),
  "we""ird" varchar(20) DEFAULT 'it''s',
  at timestamptz(3) NOT NULL DEFAULT now(),
  n numeric(10, 2) NOT NULL DEFAULT 1.5,
  tags text[] NOT NULL DEFAULT '{}',
  data jsonb NOT NULL DEFAULT '{}',
  flag boolean NOT NULL DEFAULT true,
  s serial,
  CONSTRAINT parent_key PRIMARY KEY (id) INCLUDE (n),
  CONSTRAINT u UNIQUE NULLS NOT DISTINCT (n, at) INCLUDE (flag),
  CONSTRAINT positive CHECK (n > 0),
  CHECK (s >= 0));
COMMENT ON TABLE app.parent IS 'from a local';
COMMENT ON COLUMN app.parent."we""ird" IS '''all quoted''';
COMMENT ON INDEX app.u IS 'on the index';
CREATE INDEX i_gin ON app.parent USING gin (data jsonb_path_ops);
CREATE UNIQUE INDEX i_part ON app.parent (at DESC NULLS LAST, lower("we""ird")) INCLUDE (s) WHERE flag;
COMMENT ON INDEX app.i_part IS 'partial';
CREATE INDEX i_brin ON app.parent USING brin (at) WITH (pages_per_range = 8);
CREATE TABLE child (id integer, day date, parent bigint CONSTRAINT fk REFERENCES app.parent ON DELETE SET NULL ON UPDATE CASCADE, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE listed (k text NOT NULL) PARTITION BY LIST (lower(k));`
	fromHCL, fromSQL := mustLoad(t, map[string]string{"a.hcl": hcl}), mustLoad(t, map[string]string{"a.sql": sql})
	if diff := cmp.Diff(fromSQL.Snapshot.Objects, fromHCL.Snapshot.Objects); diff != "" {
		t.Errorf("(-SQL +HCL)\n%s", diff)
	}
}

// A dump of pg_dump --schema-only --no-owner --no-privileges loads as it is.
func TestADumpLoads(t *testing.T) {
	r := mustLoad(t, map[string]string{"dump.sql": `--
-- PostgreSQL database dump
--

\restrict fUyUrkhpzNqVrPBJfvFb6hgVcYSzBFVqhV0bOgDNUOoRJkvBOgl4XnNE5kGdCbs

-- Dumped from database version 18.4
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA app;
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
COMMENT ON EXTENSION citext IS 'data type for case-insensitive character strings';

SET default_tablespace = '';
SET default_table_access_method = heap;

CREATE TABLE app.t (
    id bigint NOT NULL,
    name public.citext
);
ALTER TABLE app.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME app.t_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY app.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id);

-- A view that pg_dump breaks in two because it needs a primary key.
CREATE VIEW app.v AS
SELECT
    NULL::bigint AS id,
    NULL::public.citext AS name;
CREATE OR REPLACE VIEW app.v AS
 SELECT id,
    name
   FROM app.t
  GROUP BY id;

\unrestrict fUyUrkhpzNqVrPBJfvFb6hgVcYSzBFVqhV0bOgDNUOoRJkvBOgl4XnNE5kGdCbs
`})
	if diff := cmp.Diff([]string{"app", "public"}, r.Schemas); diff != "" {
		t.Errorf("schemas (-want +got)\n%s", diff)
	}
	if got := fact(t, r, catalog.Key{Kind: catalog.View, Schema: "app", Name: "v"}, catalog.FactDefinition); !strings.Contains(got, "GROUP BY") {
		t.Errorf("the view is %s", got)
	}
}

// A file's SET holds to its end and not in other files, whatever is tried again.
func TestSettingsOfAFile(t *testing.T) {
	r := mustLoad(t, map[string]string{
		"a.sql": "CREATE SCHEMA app;\nSET search_path TO app, public;\nCREATE TABLE a (x late);\nCREATE TYPE late AS ENUM ('x');",
		"b.sql": "CREATE TABLE b (x app.late);",
	})
	for _, k := range []catalog.Key{catalog.TableKey("app", "a"), catalog.TableKey("public", "b")} {
		if _, ok := r.Snapshot.Lookup(k); !ok {
			t.Errorf("there is no %s", k)
		}
	}
}

func TestManagedSchemas(t *testing.T) {
	given := func(names ...string) func(*desired.Options) {
		return func(o *desired.Options) { o.Schemas = names }
	}
	t.Run("public and those created", func(t *testing.T) {
		r := mustLoad(t, map[string]string{"a.sql": "CREATE SCHEMA app; CREATE EXTENSION hstore WITH SCHEMA extensions;"})
		if diff := cmp.Diff([]string{"app", "public"}, r.Schemas); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	t.Run("a given one need not be created", func(t *testing.T) {
		r := mustLoad(t, map[string]string{"a.sql": "CREATE TABLE t (a integer); CREATE TABLE other.u (a integer)"}, given("app", "other", "empty"))
		for _, k := range []catalog.Key{catalog.TableKey("app", "t"), catalog.TableKey("other", "u"), {Kind: catalog.Schema, Name: "empty"}} {
			if _, ok := r.Snapshot.Lookup(k); !ok {
				t.Errorf("there is no %s", k)
			}
		}
	})
	t.Run("outside", func(t *testing.T) {
		_, err := load(t, map[string]string{"a.sql": "CREATE TABLE app.t (a integer);\nCREATE TABLE public.t (a integer);\nCREATE TYPE public.c AS (a integer);\nCREATE SCHEMA more;"}, given("app"))
		want := "a.sql:2:1: table public.t is in schema public, which is not managed: remove it, or add the schema to schemas in atlas.hcl (now: app)\n    CREATE TABLE public.t (a integer)\n" +
			"a.sql:3:1: composite type public.c is in schema public, which is not managed: remove it, or add the schema to schemas in atlas.hcl (now: app)\n    CREATE TYPE public.c AS (a integer)\n" +
			"a.sql:4:1: schema more, which is not managed: remove it, or add the schema to schemas in atlas.hcl (now: app)\n    CREATE SCHEMA more"
		if err == nil || cmp.Diff(want, err.Error()) != "" {
			t.Errorf("(-want +got)\n%s", cmp.Diff(want, fmt.Sprint(err)))
		}
	})
	t.Run("excluded", func(t *testing.T) {
		r := mustLoad(t, map[string]string{"a.sql": "CREATE TABLE legacy_t (a integer); CREATE TABLE t (a integer); CREATE TYPE legacy_c AS (a integer)"},
			func(o *desired.Options) { o.Exclude = []string{"public.legacy_*"} })
		if _, ok := r.Snapshot.Lookup(catalog.TableKey("public", "legacy_t")); ok {
			t.Error("an excluded table is in the snapshot")
		}
		if diff := cmp.Diff([]string{"composite type public.legacy_c", "table public.legacy_t"}, r.Snapshot.LeftAlone); diff != "" {
			t.Errorf("left alone (-want +got)\n%s", diff)
		}
	})
}

// A body may name what lives in a schema of somebody else.
func TestBodiesMayNeedOtherSchemas(t *testing.T) {
	mustLoad(t, map[string]string{"a.sql": `
		CREATE FUNCTION a() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM audit.log';
		CREATE FUNCTION b() RETURNS integer LANGUAGE sql AS 'SELECT audit.f(1)';
		CREATE PROCEDURE c() LANGUAGE sql AS 'INSERT INTO audit.log DEFAULT VALUES';`})
}

// A version that no source says is not compared; one that it says is.
func TestExtensionVersions(t *testing.T) {
	r := mustLoad(t, map[string]string{"a.sql": "CREATE EXTENSION citext; CREATE EXTENSION pg_trgm VERSION '1.5'; CREATE EXTENSION earthdistance CASCADE; CREATE EXTENSION hstore; ALTER EXTENSION hstore UPDATE TO '1.8';"})
	for name, want := range map[string]string{"citext": "", "pg_trgm": "1.5", "earthdistance": "", "cube": "", "plpgsql": "", "hstore": "1.8"} {
		if got := fact(t, r, catalog.Key{Kind: catalog.Extension, Name: name}, catalog.FactVersion); got != want {
			t.Errorf("%s has version %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"citext", "cube", "earthdistance", "plpgsql"}, r.Scope.AnyVersion); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A value added to an enum can be used by what follows, however much lies between.
func TestEnumValuesAddedLater(t *testing.T) {
	var sql strings.Builder
	sql.WriteString("CREATE TYPE e AS ENUM ('a');\n")
	for i := range 600 {
		fmt.Fprintf(&sql, "CREATE SEQUENCE s%d;\n", i)
	}
	sql.WriteString("ALTER TYPE e ADD VALUE 'b';\nCREATE TABLE t (x e DEFAULT 'b');")
	if got := fact(t, mustLoad(t, map[string]string{"a.sql": sql.String()}), column("t", "x"), catalog.FactDefault); got != "'b'::public.e" {
		t.Error(got)
	}
}

// The check of a body leaves no trace: what ALTER said of the routine stays.
func TestAlteredRoutines(t *testing.T) {
	r := mustLoad(t, map[string]string{"a.sql": "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1';\nALTER FUNCTION f() IMMUTABLE;"})
	if got := fact(t, r, catalog.Key{Kind: catalog.Function, Schema: "public", Name: "f()"}, catalog.FactDefinition); !strings.Contains(got, "IMMUTABLE") {
		t.Error(got)
	}
}

func TestFilesOfAFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("b.sql", "\uFEFFCREATE TABLE b (a integer);")
	write("a.hcl", tableHCL(""))
	write("notes.md", "not read")
	write(".hidden.sql", "not read")
	write("deeper/c.sql", "not read")
	write("empty/README", "")
	one := func(path string) []desired.Source {
		return []desired.Source{{Path: filepath.Join(dir, path), Raw: "file://" + path, Pos: config.Pos{File: "atlas.hcl", Line: 5, Column: 12}}}
	}
	url := pgtest.Database(t)
	r, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: one("")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".hidden.sql", "deeper", "empty", "notes.md"}
	for i := range want {
		want[i] = filepath.Join(dir, want[i])
	}
	if diff := cmp.Diff(want, r.Ignored); diff != "" {
		t.Errorf("ignored (-want +got)\n%s", diff)
	}
	for path, want := range map[string]string{
		"missing":  `atlas.hcl:5:12: read the source "file://missing": there is no such file or folder`,
		"empty":    `atlas.hcl:5:12: read the source "file://empty": the folder has no .hcl and no .sql file`,
		"notes.md": `atlas.hcl:5:12: read the source "file://notes.md": only .hcl and .sql files, and folders of them, can be read`,
	} {
		if _, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: one(path)}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	_, err = desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: append(one("b.sql"), one("")...)})
	if want := filepath.Join(dir, "b.sql") + ":1:1: the file is read twice: two sources name it"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The embedded registry loads, from memory as from the disk.
func TestTheRegistry(t *testing.T) {
	url := pgtest.Database(t)
	archive := func(name string) config.Archive {
		return config.Archive{Table: config.Table{Schema: "public", Name: name}, Into: config.Table{Schema: "public", Name: name + "_archive"}, Partitioned: true}
	}
	o := desired.Options{
		TargetURL: url, Sources: []desired.Source{{Path: "../registry"}},
		Archives:   []config.Archive{archive("training_records"), archive("inference_requests")},
		Partitions: []config.Partition{{Table: config.Table{Schema: "public", Name: "training_records"}}, {Table: config.Table{Schema: "public", Name: "inference_requests"}}},
		Refreshes:  []config.Refresh{{View: config.Table{Schema: "public", Name: "mv_model_performance_summary"}}},
	}
	fromDisk, err := desired.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, pattern := range []string{"../registry/*.hcl", "../registry/*.sql"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files["schema/"+filepath.Base(name)] = &fstest.MapFile{Data: data}
		}
	}
	o.Sources = []desired.Source{{FS: files, Path: "schema"}}
	fromMemory, err := desired.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if fromDisk.Snapshot.Fingerprint() != fromMemory.Snapshot.Fingerprint() {
		t.Errorf("%v", catalog.Diff(fromDisk.Snapshot, fromMemory.Snapshot))
	}
	if got := fact(t, fromDisk, column("training_runs", "duration"), catalog.FactGenerated); got != "virtual" {
		t.Errorf("training_runs.duration is %q", got)
	}
}

func TestManyTables(t *testing.T) {
	var hcl, sql strings.Builder
	hcl.WriteString("schema \"public\" {}\n")
	for i := range 250 {
		fmt.Fprintf(&hcl, "table \"h%d\" {\n schema = schema.public\n column \"id\" {\n type = bigint\n identity {\n generated = ALWAYS\n }\n }\n column \"a\" {\n type = text\n comment = \"x\"\n }\n"+
			" column \"b\" {\n type = int\n null = true\n }\n column \"c\" {\n type = timestamptz\n default = sql(\"now()\")\n }\n column \"d\" {\n type = numeric(10,2)\n }\n"+
			" primary_key {\n columns = [column.id]\n }\n index \"h%d_a\" {\n columns = [column.a]\n }\n}\n", i, i)
		fmt.Fprintf(&sql, "CREATE VIEW v%d AS SELECT a FROM s%d;\nCREATE TABLE s%d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL, b integer, c timestamptz DEFAULT now(), d numeric(10,2));\n"+
			"CREATE INDEX s%d_a ON s%d (a);\nCOMMENT ON COLUMN s%d.a IS 'x';\n", i, i, i, i, i, i)
	}
	begin := time.Now()
	r := mustLoad(t, map[string]string{"a.hcl": hcl.String(), "a.sql": sql.String()})
	t.Logf("%d objects in %s", len(r.Snapshot.Objects), time.Since(begin).Round(time.Millisecond))
	views := 0
	for _, o := range r.Snapshot.Objects {
		if o.Key.Kind == catalog.View {
			views++
		}
	}
	if _, ok := r.Snapshot.Lookup(catalog.TableKey("public", "h249")); !ok || views != 250 {
		t.Errorf("%d views", views)
	}
	if !slices.IsSortedFunc(r.Snapshot.Objects, func(a, b catalog.Object) int { return catalog.CompareKeys(a.Key, b.Key) }) {
		t.Error("the snapshot is not sorted")
	}
}

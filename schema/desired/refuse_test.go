package desired_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/schema/desired"
)

// refusals are sources that must be refused, each with all that is said of it. The sources' file is f.sql, or f.hcl when they
// begin with HCL; the excerpts of statements are not compared.
var refusals = []struct{ name, source, want string }{
	// What is no schema.
	{"insert", "CREATE TABLE t (a integer);\n  INSERT INTO t VALUES (1);", "f.sql:2:3: INSERT is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)"},
	{"copy with rows", "COPY t FROM stdin;\n1\ta;b'c\n2\t(\n\\.\nUPDATE t SET a = 1;", "f.sql:1:1: COPY is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)\n" +
		"f.sql:5:1: UPDATE is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)"},
	{"setval", "SELECT pg_catalog.setval('t_id_seq', 1, false);", "f.sql:1:1: setval is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)"},
	{"select", "SELECT 1;", "f.sql:1:1: SELECT declares nothing: remove it"},
	{"cte", "/* c */ WITH x AS (DELETE FROM t) SELECT 1", "f.sql:1:9: WITH declares nothing: remove it"},
	{"transaction", "BEGIN;\nCOMMIT;", "f.sql:1:1: BEGIN controls a transaction: remove it; the sources are loaded as a whole, and apply decides what shares a transaction\n" +
		"f.sql:2:1: COMMIT controls a transaction: remove it; the sources are loaded as a whole, and apply decides what shares a transaction"},
	{"do", "DO $$ BEGIN EXECUTE 'CREATE TABLE t ()'; END $$;", "f.sql:1:1: DO runs code, so what it declares cannot be seen: write the statements that it would run"},
	{"call", "CALL p();", "f.sql:1:1: CALL runs code, so what it declares cannot be seen: write the statements that it would run"},
	{"drop", "DROP TABLE IF EXISTS t;", "f.sql:1:1: DROP declares nothing: remove it and the declaration of what it drops (with pg_dump, do not use --clean)"},
	{"membership", "GRANT a TO b;", "f.sql:1:1: GRANT of a role: membership is not part of a database's schema: remove it and run it by hand"},
	{"grant on a database", "REVOKE CONNECT ON DATABASE d FROM PUBLIC;", "f.sql:1:1: REVOKE ON DATABASE is not part of a database's schema: remove it and run it by hand"},
	{"grant to nobody", "CREATE TABLE t (a integer);\nGRANT SELECT ON t TO nobody_of_that_name;", "f.sql:2:1: role \"nobody_of_that_name\" does not exist; create it on the server where scratch databases are made (env dev, or the target's): it belongs to a server, not to a database (SQLSTATE 42704)"},
	{"grant on a system view", "GRANT SELECT ON pg_catalog.pg_authid TO PUBLIC;", "privileges on pg_catalog.pg_authid: the system or an extension made it, and of such objects none are managed: remove the GRANT or REVOKE and run it by hand"},
	{"grant on large objects", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO PUBLIC;", "f.sql:1:1: ALTER DEFAULT PRIVILEGES ON LARGE OBJECTS: large objects are not managed: remove it"},
	{"right of the owner", "CREATE TABLE t (a integer);\nREVOKE DELETE ON t FROM CURRENT_USER;", "revoked right of the owner delete on table public.t: this kind of object cannot be compared yet, so it cannot be declared: remove it and create it by hand"},
	{"owner", "ALTER TABLE public.t OWNER TO someone;", "f.sql:1:1: OWNER TO: ownership is not managed: remove it (with pg_dump, use --no-owner)"},
	{"vacuum", "VACUUM t;", "f.sql:1:1: VACUUM is work, not schema: remove it; jobs of atlas.hcl do such work"},
	{"refresh", "REFRESH MATERIALIZED VIEW m;", "f.sql:1:1: REFRESH is work, not schema: remove it; jobs of atlas.hcl do such work"},
	{"explain", "EXPLAIN SELECT 1;", "f.sql:1:1: EXPLAIN declares no schema: sources may have CREATE, ALTER, COMMENT and a few SET statements"},
	{"role", "CREATE ROLE r;", "f.sql:1:1: CREATE ROLE is not part of a database's schema: remove it and run it by hand"},
	{"database", "CREATE DATABASE d;", "f.sql:1:1: CREATE DATABASE is not part of a database's schema: remove it and run it by hand"},
	{"tablespace", "CREATE TABLESPACE d LOCATION '/x';", "f.sql:1:1: CREATE TABLESPACE is not part of a database's schema: remove it and run it by hand"},
	{"alter system", "ALTER SYSTEM SET work_mem = '1GB';", "f.sql:1:1: ALTER SYSTEM is not part of a database's schema: remove it; the io block of atlas.hcl tunes the server"},
	{"alter role", "ALTER ROLE r SET work_mem = '1GB';", "f.sql:1:1: ALTER ROLE is not part of a database's schema: remove it and run it by hand"},
	{"comment on database", "COMMENT ON DATABASE d IS 'x';", "f.sql:1:1: COMMENT ON DATABASE is not part of a database's schema: remove it and run it by hand"},
	{"temporary", "CREATE TEMP TABLE t (a integer);", "f.sql:1:1: a temporary object ends with its session and cannot be declared: remove it"},
	{"temporary view", "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1;", "f.sql:1:1: a temporary object ends with its session and cannot be declared: remove it"},
	{"concurrently", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);", "f.sql:1:1: CREATE INDEX CONCURRENTLY: write CREATE INDEX; apply builds it concurrently where rows are in the way"},
	{"detach", "ALTER TABLE p DETACH PARTITION c;", "f.sql:1:1: DETACH PARTITION declares nothing: remove the partition from the sources instead"},
	{"psql", "\\connect other\nCREATE TABLE t (a integer);\n  \\i more.sql\n", "f.sql:1:1: \\connect is a command of psql, not SQL: remove it\nf.sql:3:3: \\i is a command of psql, not SQL: remove it"},
	{"setting", "SET work_mem = '1GB';", "f.sql:1:1: SET work_mem: a source may set search_path, default_tablespace, default_table_access_method, default_toast_compression, xmloption only, beside what pg_dump writes: remove it"},
	{"encoding", "SET client_encoding = 'LATIN1';", "f.sql:1:1: SET client_encoding: a source may set search_path, default_tablespace, default_table_access_method, default_toast_compression, xmloption only, beside what pg_dump writes: remove it"},

	// Directives.
	{"unknown directive", "-- pgtender: moved to x\nCREATE TABLE t (a integer);", "f.sql:1:1: pgtender: moved to x: it is not understood; a directive is -- pgtender: renamed from old_name, or -- pgtender: using expression"},
	{"directive in a block comment", "/* pgtender: renamed from a */ CREATE TABLE t (a integer);", "f.sql:1:1: a directive is a comment that begins with two dashes: a directive is -- pgtender: renamed from old_name, or -- pgtender: using expression"},
	{"directive at the end", "CREATE TABLE t (a integer);\n-- pgtender: renamed from a", "f.sql:2:1: no declaration follows this directive"},
	{"directive at no column", "CREATE TABLE t (a integer\n-- pgtender: renamed from b\n);", "f.sql:2:1: pgtender: renamed from b: nothing follows it in the list"},
	{"directive at a nameless constraint", "CREATE TABLE t (a integer,\n-- pgtender: renamed from b\nCHECK (a > 0));", "f.sql:2:1: pgtender: renamed from b: the constraint has no name: write CONSTRAINT name before it"},
	{"directive at a comment", "-- pgtender: renamed from b\nCOMMENT ON TABLE t IS 'x';", "f.sql:1:1: pgtender: renamed from b: it must stand at a statement that creates something which can be renamed"},
	{"directive at a setting", "-- pgtender: renamed from b\nSET search_path = public;", "f.sql:1:1: the directive stands at a statement that creates nothing"},
	{"directive with a schema", "-- pgtender: renamed from a.b\nCREATE TABLE t (a integer);", "f.sql:1:1: pgtender: renamed from a.b: an object is renamed within its schema: write its old name without one"},
	{"directive with the same name", "-- pgtender: renamed from T\nCREATE TABLE t (a integer);", "f.sql:1:1: pgtender: renamed from T: the old name is the new one"},
	{"using at a table", "-- pgtender: using a::int\nCREATE TABLE t (a integer);", "f.sql:1:1: pgtender: using a::int: it says how a column's values are converted, and stands at table t"},
	{"renamed schema", "-- pgtender: renamed from a\nCREATE SCHEMA b;", "f.sql:1:1: pgtender: renamed from a: a schema cannot be renamed this way"},

	// What never ends.
	{"open string", "CREATE TABLE t (a integer DEFAULT 'x);\n", "f.sql:1:35: this string never ends"},
	{"open name", "CREATE TABLE \"t (a integer);\n", "f.sql:1:14: this name in double quotes never ends"},
	{"open dollar", "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $body$ SELECT 1; $$;\n", "f.sql:1:50: this string in $body$ never ends"},
	{"open comment", "CREATE TABLE t (a integer);\n/* a /* nested */ comment", "f.sql:2:1: this /* comment never ends"},
	{"not UTF-8", "-- ok\nCREATE TABLE t (\"a\xff\" integer)", "f.sql:2:19: the file is not UTF-8 text"},

	// What the server says, with its place.
	{"syntax", "CREATE TABLE a (x integer);\n\nCREATE TABLE t (\n  a integer,\n  b integr integer\n);", "f.sql:5:12: syntax error at or near \"integer\" (SQLSTATE 42601)"},
	{"syntax behind other letters", "CREATE TABLE \"größe\" (\n  \"käse\" integer DEFAULT (1 +) );", "f.sql:2:30: syntax error at or near \")\" (SQLSTATE 42601)"},
	{"unknown type", "CREATE TABLE t (\n  a nothing\n);", "f.sql:2:5: type \"nothing\" does not exist; no source declares it (SQLSTATE 42704)"},
	{"unknown table", "CREATE VIEW v AS\n  SELECT * FROM missing;", "f.sql:2:17: relation \"missing\" does not exist; no source declares it (SQLSTATE 42P01)"},
	{"only the cause", "CREATE VIEW v AS SELECT a FROM t;\nCREATE TABLE t (a integer, a integer);", "f.sql:2:1: column \"a\" specified more than once (SQLSTATE 42701)"},
	{"declared twice", "CREATE TABLE t (a integer);\nCREATE TABLE IF NOT EXISTS t (b integer);", "f.sql:2:1: relation \"t\" already exists; it is declared twice (SQLSTATE 42P07)"},
	{"routine declared twice", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1';\nCREATE OR REPLACE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 2';",
		"f.sql:2:1: function \"f\" already exists with same argument types; it is declared twice (SQLSTATE 42723)"},
	{"no such extension", "CREATE EXTENSION no_such_thing;", "f.sql:1:1: extension \"no_such_thing\" is not available; The extension must first be installed on the system where PostgreSQL is running; install it on the server where scratch databases are made (env dev, or the target's) (SQLSTATE 0A000)"},
	{"plpgsql body", "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  IF true THEEN NULL; END IF;\nEND $$;", "f.sql:3:21: missing \"THEN\" at end of SQL expression (SQLSTATE 42601)"},
	{"plpgsql body, replaced", "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  IF true THEEN NULL; END IF;\nEND $$;", "f.sql:3:21: missing \"THEN\" at end of SQL expression (SQLSTATE 42601)"},
	{"sql body", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS $$\n  SELECT a FROM public.missing\n$$;", "f.sql:2:17: relation \"public.missing\" does not exist; no source declares it (SQLSTATE 42P01)"},

	// Kinds that cannot be compared.
	{"operator", "CREATE TABLE t (a integer);\nCREATE OPERATOR === (leftarg = integer, rightarg = integer, function = int4eq);", "f.sql:2:1: operator public.===(integer, integer): this kind of object cannot be compared yet, so it cannot be declared: remove it and create it by hand"},
	{"index of a partition", "CREATE TABLE t (a integer) PARTITION BY RANGE (a);\nCREATE TABLE u PARTITION OF t DEFAULT;\nCREATE INDEX i ON u (a);", "f.sql:3:1: index of a partition alone public.u.i: this kind of object cannot be compared yet, so it cannot be declared: remove it and create it by hand"},
	{"publication", "CREATE PUBLICATION p;", "f.sql:1:1: publication p: this kind of object cannot be compared yet, so it cannot be declared: remove it and create it by hand"},
	{"own schema", "CREATE SCHEMA pgtender;", "f.sql:1:1: schema pgtender is pgtender's own: remove it"},

	// HCL: syntax, and what Atlas would pass over.
	{"hcl nested", "schema \"public\" {}\nlocals {\n  a = " + strings.Repeat("[", 3_000_000) + "\n}", "f.hcl:3:106: the file is nested too deeply"},
	{"hcl syntax", "schema \"public\" {}\ntable \"t\" {\n  schema = schema.public\n  column \"a\" { type = }\n}", "f.hcl:4:23: Invalid expression: Expected the start of an expression, but found an invalid expression token."},
	{"hcl view", "schema \"public\" {}\nview \"v\" {\n  as = \"SELECT 1\"\n}", "f.hcl:2:1: block \"view\" would be passed over or refused by Atlas: declare it in a .sql file beside this one"},
	{"hcl domain", "schema \"public\" {}\ndomain \"d\" {\n  type = int\n}", "f.hcl:2:1: block \"domain\" would be passed over or refused by Atlas: declare it in a .sql file beside this one"},
	{"hcl unknown block", "schema \"public\" {}\ntabel \"t\" {}", "f.hcl:2:1: a schema file has no block \"tabel\" that Atlas would read (it has enum, locals, schema, table)"},
	{"hcl no schema", "table \"t\" {\n  schema = schema.public\n  column \"a\" { type = int }\n}",
		"f.hcl:2:12: no .hcl source declares the schema \"public\": write schema \"public\" {} into one of them, as Atlas wants it, also when the schema is there already"},
	{"hcl variable", "variable \"x\" {\n  type = string\n}", "f.hcl:1:1: block \"variable\": a schema file takes no input: use locals"},
	{"hcl top attribute", "a = 1", "f.hcl:1:1: a schema file has no attribute \"a\" that Atlas would read"},
	{"hcl table attribute", tableHCL("unlogged = true"), "f.hcl:4:3: block \"table\" has no attribute \"unlogged\" that Atlas would read (it has comment, depends_on, schema); what HCL cannot say goes into a .sql file beside this one"},
	{"hcl column attribute", tableHCL("column \"b\" {\n    type = int\n    collate = \"C\"\n  }"), "f.hcl:6:5: block \"column\" has no attribute \"collate\" that Atlas would read (it has as, comment, default, null, type); what HCL cannot say goes into a .sql file beside this one"},
	{"hcl check enforced", tableHCL("check \"c\" {\n    expr = \"a > 0\"\n    enforced = false\n  }"), "f.hcl:6:5: block \"check\" has no attribute \"enforced\" that Atlas would read (it has expr); what HCL cannot say goes into a .sql file beside this one"},
	{"hcl key parts", tableHCL("primary_key {\n    on {\n      column = column.a\n    }\n  }"), "f.hcl:5:5: block \"primary_key\" has no block \"on\" that Atlas would read"},
	{"hcl two keys", tableHCL("primary_key {\n    columns = [column.a]\n  }\n  primary_key {\n    columns = [column.a]\n  }"), "f.hcl:7:3: block \"table\" has a second block \"primary_key\", and Atlas would keep only one of them"},
	{"hcl unknown key column", tableHCL("primary_key {\n    columns = [column.zz]\n  }"), "f.hcl:5:16: table \"t\" has no column \"zz\""},
	{"hcl trigger", tableHCL("trigger \"g\" {}"), "f.hcl:4:3: block \"table\" has no block \"trigger\" that Atlas would read (it has check, column, foreign_key, index, partition, primary_key, unique)"},
	{"hcl child partition", "schema \"public\" {}\npartition \"p\" {}", "f.hcl:2:1: a schema file has no block \"partition\" that Atlas would read: partitions are made by policies, or declared in a .sql file"},
	{"hcl generated", tableHCL("column \"b\" {\n    type = int\n    as {\n      expr = \"a\"\n      type = PERSISTED\n    }\n  }"), "f.hcl:8:14: the type of a generated column is STORED or VIRTUAL"},
	{"hcl identity", tableHCL("column \"b\" {\n    type = int\n    identity {\n      generated = ALWAYS\n      cache = 5\n    }\n  }"), "f.hcl:8:7: block \"identity\" has no attribute \"cache\" that Atlas would read (it has generated, increment, start); what HCL cannot say goes into a .sql file beside this one"},
	{"hcl identity zero", tableHCL("column \"b\" {\n    type = int\n    identity {\n      start = 0\n    }\n  }"), "f.hcl:7:15: start = 0 would be passed over by Atlas: declare the table in a .sql file"},
	{"hcl default of a serial", tableHCL("column \"b\" {\n    type = serial\n    default = sql(\"1\")\n  }"), "f.hcl:4:3: column \"b\" of table \"t\" is serial and has a default, which Atlas would pass over: remove it"},
	{"hcl unknown type", tableHCL("column \"b\" {\n    type = integr\n  }"), "f.hcl:5:12: Unknown column.type: There is no type named \"integr\"."},
	{"hcl unknown sql type", tableHCL("column \"b\" {\n    type = sql(\"nothing\")\n  }"), "f.hcl:4:3: type \"nothing\" does not exist; no source declares it (SQLSTATE 42704)"},
	{"hcl check expression", tableHCL("check \"c\" {\n    expr = \"zz > 0\"\n  }"), "f.hcl:4:3: column \"zz\" does not exist (SQLSTATE 42703)"},
	{"hcl index expression", tableHCL("index \"i\" {\n    on {\n      expr = \"a +\"\n    }\n  }"), "f.hcl:4:3: syntax error at or near \")\" (SQLSTATE 42601)"},
}

func tableHCL(inner string) string {
	return "schema \"public\" {}\ntable \"t\" {\n  schema = schema.public\n  " + inner + "\n  column \"a\" {\n    type = int\n  }\n}"
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := "f.sql"
			if strings.Contains(c.want, "f.hcl") {
				file = "f.hcl"
			}
			_, err := load(t, map[string]string{file: c.source})
			var refused *desired.Error
			if !errors.As(err, &refused) {
				t.Fatalf("not refused: %v", err)
			}
			for i := range refused.Problems {
				p := &refused.Problems[i]
				p.Excerpt = ""
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

package cli_test

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// planted are functions and operators under names that pgtender's SQL uses, each of which notes who ran it. They fit their
// arguments better than PostgreSQL's own, and stand in front of them in the search_path.
func planted(schema string) (list []string) {
	list = append(list,
		"CREATE SCHEMA IF NOT EXISTS "+schema,
		"GRANT USAGE ON SCHEMA "+schema+" TO PUBLIC",
		"CREATE TABLE "+schema+".log (who text, what text)",
		"GRANT INSERT ON "+schema+".log TO PUBLIC")
	function := func(name, arguments, result, value string) {
		list = append(list, fmt.Sprintf("CREATE FUNCTION %s.%s(%s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO %s.log VALUES (current_user, %s); RETURN %s; END $f$",
			schema, name, arguments, result, schema, pg.Literal(name+"("+arguments+")"), value))
	}
	function("now", "", "timestamptz", "'2000-01-01 00:00+00'")
	function("clock_timestamp", "", "timestamptz", "'2000-01-01 00:00+00'")
	function("current_database", "", "name", "'evil'")
	function("pg_backend_pid", "", "int", "1")
	function("pg_is_in_recovery", "", "bool", "true")
	function("pg_try_advisory_lock", "bigint", "bool", "true")
	function("pg_try_advisory_xact_lock", "bigint", "bool", "true")
	function("set_config", "text, text, bool", "text", "''")
	function("current_setting", "text", "text", "''")
	function("pg_get_expr", "pg_node_tree, oid", "text", "'x'")
	function("pg_get_userbyid", "oid", "name", "'postgres'")
	function("to_regclass", "text", "regclass", "NULL")
	function("has_table_privilege", "oid, text", "bool", "true")
	function("has_schema_privilege", "oid, text", "bool", "true")
	function("concat_ws", "text, text, text", "text", "'x'")
	function("lower", "text", "text", "'x'")
	function("starts_with", "text, text", "bool", "true")
	function("coalesced", "text, text", "bool", "true")
	for name, pairs := range map[string][]string{"=": {"name, name", "oid, oid", "text, text", "name, text", `"char", "char"`, "int, int", "bigint, bigint", "timestamptz, timestamptz"},
		"<>": {"oid, oid", "name, name", "text, text"}, "<": {"timestamptz, timestamptz", "int, int", "bigint, bigint"}, ">": {"timestamptz, timestamptz", "int, int"}, "||": {"text, text"}, "-": {"timestamptz, interval", "int, int"}} {
		for i, pair := range pairs {
			left, right, _ := strings.Cut(pair, ", ")
			result, value := "bool", "true"
			switch name {
			case "||":
				result, value = "text", "'x'"
			case "-":
				result, value = left, "$1"
			}
			function(fmt.Sprintf("operator_%d_%d", int(name[0]), i+10*len(name)), pair, result, value)
			list = append(list, fmt.Sprintf("CREATE OPERATOR %s.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %s.operator_%d_%d)", schema, name, left, right, schema, int(name[0]), i+10*len(name)))
		}
	}
	return list
}

// With schemas of somebody else in front of pg_catalog in the search_path of its role and database, full of functions and operators that stand in
// for PostgreSQL's, pgtender runs none of them: in no job, check or command.
func TestAHostileSearchPathDoesNothing(t *testing.T) {
	t.Parallel()
	l := newLeast(t)
	_, printed := l.run(l.url, "grants", "--role", strings.Trim(l.role, `"`))
	statements, _, _ := rights(printed)
	pgtest.Exec(t, l.url, statements...)
	mallory := pgtest.Role(t, l.url, "GRANT CONNECT, CREATE ON DATABASE "+quotedName(t, l.url)+" TO {role}", "GRANT CREATE, USAGE ON SCHEMA public TO {role}")
	pgtest.Exec(t, mallory, planted("evil")...)
	pgtest.Exec(t, mallory, planted("public")[2:]...)
	const path = " SET search_path = evil, public, pg_catalog"
	pgtest.Exec(t, l.url, "ALTER ROLE "+l.role+path, "ALTER DATABASE "+quotedName(t, l.url)+path)
	t.Cleanup(func() { // the test's own clean-up would step into it
		pgtest.Exec(t, l.url, "SET search_path = pg_catalog", "ALTER DATABASE "+quotedName(t, l.url)+" RESET search_path")
	})
	// The trap works: who does not mind his path steps into it.
	session := pgtest.Session(t, l.as)
	if _, err := session.Exec(t.Context(), "RESET search_path; SELECT now() WHERE 'a'::text = 'b'::text"); err != nil {
		t.Fatal(err)
	}
	var sprung int
	const count = "SELECT (SELECT count(*) FROM evil.log) + (SELECT count(*) FROM public.log)"
	admin := pgtest.Session(t, l.url)
	if err := admin.QueryRow(t.Context(), count).Scan(&sprung); err != nil || sprung != 2 {
		t.Fatalf("the trap was sprung %d times: %v", sprung, err)
	}
	out := l.suite()
	for _, args := range [][]string{{"plan"}, {"apply", "--auto-approve"}, {"job", "list"}, {"job", "run", "partition"}, {"archive", "list"}, {"io", "status"}, {"grants"}} {
		code, more := l.run(l.as, args...)
		out += fmt.Sprintf("$ %s\n%sexit %d\n", strings.Join(args, " "), more, code)
	}
	if bad := regexp.MustCompile(`(?m)^exit [123]$`).FindString(out); bad != "" {
		t.Errorf("%s", out)
	}
	if err := admin.QueryRow(t.Context(), count).Scan(&sprung); err != nil || sprung != 2 {
		t.Errorf("the trap was sprung %d times: %v", sprung-2, err)
	}
}

// Code that a table's owner hangs on it runs under the owner's name where PostgreSQL maintains the table: a refresh, and the
// indexes that it fills, lend nobody pgtender's rights. Where rows are moved, CHECKs run as pgtender, as docs/security.md says.
func TestWhoRunsTheCodeOnTables(t *testing.T) {
	t.Parallel()
	l := newLeast(t)
	_, printed := l.run(l.url, "grants", "--role", strings.Trim(l.role, `"`))
	statements, _, _ := rights(printed)
	pgtest.Exec(t, l.url, statements...)
	pgtest.Exec(t, l.url, "CREATE TABLE public.who (what text, role text)", "GRANT INSERT ON public.who TO PUBLIC", "GRANT USAGE ON SCHEMA public TO PUBLIC",
		`CREATE FUNCTION public.seen(what text, n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN
			RAISE LOG 'seen % %', what, current_user; PERFORM public.note(what); RETURN n; END $f$`,
		`CREATE FUNCTION public.note(what text) RETURNS void LANGUAGE plpgsql VOLATILE AS $f$ BEGIN INSERT INTO public.who VALUES (what, current_user); END $f$`,
		"ALTER TABLE app.plain ADD CONSTRAINT planted CHECK (public.seen('check', id) = id)",
		"ALTER TABLE app.plain_archive ADD CONSTRAINT planted CHECK (public.seen('check', id) = id)",
		"CREATE INDEX planted ON app.mv (public.seen('refresh', n))",
		"TRUNCATE public.who")
	for _, job := range []string{"archive", "refresh"} {
		if code, out := l.run(l.as, "job", "run", job); code != 0 {
			t.Error(out)
		}
	}
	rows, err := pgtest.Session(t, l.url).Query(t.Context(), "SELECT DISTINCT what, role = "+pg.Literal(strings.Trim(l.role, `"`))+" FROM public.who ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[string]bool{}
	for rows.Next() {
		var what string
		var ours bool
		if err := rows.Scan(&what, &ours); err != nil {
			t.Fatal(err)
		}
		got[what] = got[what] || ours
	}
	if want := map[string]bool{"check": true, "refresh": false}; !maps.Equal(got, want) {
		t.Errorf("what ran, and whether as pgtender: %v, want %v", got, want)
	}
}

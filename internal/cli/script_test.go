package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// The scripts run the program in a folder of their own, without any environment but what they set. Besides testscript's
// commands they have
//
//	database VAR [registry|FILE]  a database: empty, or as `apply` leaves it; VAR is its connection string, VAR_SHOWN that as it is
//	                              shown, VAR_NAME its name
//	role VAR URL [SQL …]          a role that may log in to it, VAR_NAME, after the statements, in which {role} is its name, quoted
//	as VAR URL ROLE               the same database as that role
//	sql URL SQL …                 statements, as superuser
//	sqlfile URL FILE              the same from a file
//	query URL SQL                 prints the rows
//	exits N COMMAND …             runs it and checks the exit code
//	refuses [-few] PATTERN FLAG … runs every command, or a few, with the flags: each must fail, with PATTERN on stderr, nothing on
//	                              stdout, and no password, which is "sesame"
//	remember URL, unchanged URL   takes a picture of a database; compares it
//	keys FILE                     prints the paths of a JSON document's keys
//	seventeen VAR URL             the same server, but it says that it is PostgreSQL 17
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Values["t"] = env.T().(testing.TB)
			env.Values["pictures"] = map[string][]string{}
			env.Setenv("REPO", repository(t))
			env.Setenv("NEXT_MONTH", time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).AddDate(0, 1, 0).Format("2006_01"))
			here := pgtest.Database(env.T().(testing.TB))
			env.Setenv("NOBODY", pgtest.As(t, here, "nobody", ""))
			env.Setenv("NOWHERE", withDatabase(t, here, "nowhere"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database": databaseCommand, "role": roleCommand, "as": asCommand, "sql": sqlCommand, "sqlfile": sqlfileCommand, "follow": followCommand, "query": queryCommand, "exits": exitsCommand, "refuses": refusesCommand,
			"remember": rememberCommand, "unchanged": unchangedCommand, "keys": keysCommand, "seventeen": seventeenCommand,
		},
	})
}

func usage(ts *testscript.TestScript, neg, ok bool, text string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func testOf(ts *testscript.TestScript) testing.TB { return ts.Value("t").(testing.TB) }

func databaseCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1 || len(args) == 2, "database VAR [registry|FILE]")
	t, url := testOf(ts), ""
	switch {
	case len(args) == 1:
		url = pgtest.Database(t)
	case args[1] == "registry":
		url = pgtest.DatabaseFrom(t, registry(t))
	default:
		url = pgtest.DatabaseFrom(t, applied(t, ts.MkAbs(args[1])))
	}
	ts.Setenv(args[0], url)
	ts.Setenv(args[0]+"_SHOWN", pg.Redact(url))
	ts.Setenv(args[0]+"_NAME", strings.TrimPrefix(mustParse(t, url).Path, "/"))
}

func roleCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "role VAR URL [SQL …]")
	url := pgtest.Role(testOf(ts), args[1], args[2:]...)
	ts.Setenv(args[0], url)
	ts.Setenv(args[0]+"_NAME", mustParse(testOf(ts), url).User.Username())
}

func sqlCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "sql URL SQL …")
	pgtest.Exec(testOf(ts), args[0], args[1:]...)
}

func asCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "as VAR URL ROLE")
	ts.Setenv(args[0], pgtest.As(testOf(ts), args[1], args[2], ""))
}

func sqlfileCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "sqlfile URL FILE")
	pgtest.Exec(testOf(ts), args[0], ts.ReadFile(args[1]))
}

// followCommand types what a printed advice says: its indented lines, one statement after the other.
func followCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "follow URL FILE")
	var list []string
	statement := ""
	for _, line := range strings.Split(ts.ReadFile(args[1]), "\n") {
		if statement == "" && !strings.HasPrefix(line, "  ") {
			continue
		}
		if statement += line + "\n"; strings.HasSuffix(line, ";") {
			list, statement = append(list, statement), ""
		}
	}
	if len(list) == 0 || statement != "" {
		ts.Fatalf("nothing to type, or no end of it: %q", statement)
	}
	pgtest.Exec(testOf(ts), args[0], list...)
}

func queryCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "query URL SQL")
	for _, row := range rowsOf(testOf(ts), args[0], args[1]) {
		fmt.Fprintln(ts.Stdout(), row)
	}
}

func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "exits N COMMAND …")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// everyCommand is each command that looks at the database.
func everyCommand() []string {
	return []string{"plan", "apply --auto-approve", "drift", "run --once", "job list", "job run partition", "job run drift --dry-run", "check", "io status",
		"io recommend", "archive list", "grants"}
}

func refusesCommand(ts *testscript.TestScript, neg bool, args []string) {
	commands := everyCommand()
	if len(args) > 0 && args[0] == "-few" {
		commands, args = []string{"plan", "run --once", "check"}, args[1:]
	}
	usage(ts, neg, len(args) >= 1, "refuses [-few] PATTERN FLAG …")
	pattern := regexp.MustCompile("(?m)" + args[0])
	for _, command := range commands {
		want := 1
		if command == "check" {
			want = 3
		}
		exitsCommand(ts, false, slices.Concat([]string{strconv.Itoa(want), "pgtender"}, args[1:], strings.Fields(command)))
		if out := ts.ReadFile("stdout"); out != "" && (command != "check" || !strings.HasPrefix(out, "UNKNOWN   the database cannot be asked: ")) {
			ts.Fatalf("%s printed on stdout:\n%s", command, out)
		}
		if text := ts.ReadFile("stderr"); strings.Contains(text, "sesame") {
			ts.Fatalf("%s prints the password:\n%s", command, text)
		} else if !pattern.MatchString(text) {
			ts.Fatalf("%s does not say %q but:\n%s", command, pattern, text)
		}
	}
}

func rememberCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "remember URL")
	ts.Value("pictures").(map[string][]string)[args[0]] = picture(testOf(ts), args[0])
}

func unchangedCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "unchanged URL")
	before, ok := ts.Value("pictures").(map[string][]string)[args[0]]
	if !ok {
		ts.Fatalf("nothing is remembered of %s", args[0])
	}
	if diff := cmp.Diff(before, picture(testOf(ts), args[0])); diff != "" {
		ts.Fatalf("the database was changed (-before +now):\n%s", diff)
	}
}

func keysCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "keys FILE")
	var document any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(d.Decode(&document))
	if d.More() {
		ts.Fatalf("something follows the JSON document")
	}
	paths := map[string]bool{}
	collectKeys(document, "", paths)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		fmt.Fprintln(ts.Stdout(), path)
	}
}

// collectKeys notes each key's path with the kind of its value. Those of all elements of an array are taken together.
func collectKeys(v any, path string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			collectKeys(value, path+"."+key, into)
		}
	case []any:
		into[path+"[]"] = true
		for _, value := range v {
			collectKeys(value, path+"[]", into)
		}
	case nil:
		into[path+" null"] = true
	default:
		into[fmt.Sprintf("%s %T", path, v)] = true
	}
}

func seventeenCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "seventeen VAR URL")
	ts.Setenv(args[0], seventeen(testOf(ts), args[1]))
}

func mustParse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func withDatabase(t testing.TB, target, name string) string {
	t.Helper()
	u := mustParse(t, target)
	u.Path = "/" + name
	return u.String()
}

// rowsOf returns the rows of a query, each value as text, with a bar between them.
func rowsOf(t testing.TB, url, sql string, args ...any) []string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		parts := make([]string, len(values))
		for i, v := range values {
			if parts[i] = fmt.Sprint(v); v == nil {
				parts[i] = "null"
			}
		}
		return strings.Join(parts, "|"), err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// picture is everything that a command which fails, or only looks, must leave as it was: the catalog, and how many rows each
// table has. It is not pgtender's own way of reading the catalog.
func picture(t testing.TB, url string) []string {
	t.Helper()
	out := rowsOf(t, url, `
		SELECT concat_ws(' ', 'schema', nspname, nspowner, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
		UNION ALL SELECT concat_ws(' ', 'relation', oid, oid::regclass, relkind, relfilenode, relowner, relacl, reloptions, relispartition, relispopulated, pg_get_expr(relpartbound, oid))
		FROM pg_class WHERE oid >= 16384 AND relkind <> 't' AND relnamespace <> 'pg_toast'::regnamespace
		UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity, attacl)
		FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND attrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace)
		UNION ALL SELECT concat_ws(' ', 'default', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef
		UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid)) FROM pg_constraint WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'index', indexrelid::regclass, indisvalid, pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid >= 16384 AND indrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 't')
		UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
		UNION ALL SELECT concat_ws(' ', 'rule', ev_class::regclass, pg_get_ruledef(oid)) FROM pg_rewrite WHERE ev_class >= 16384
		UNION ALL SELECT concat_ws(' ', 'routine', oid::regprocedure, proowner, proacl, proconfig, prosrc, pg_get_function_sqlbody(oid)) FROM pg_proc WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'type', typname, typtype, typowner) FROM pg_type WHERE oid >= 16384
		UNION ALL SELECT concat_ws(' ', 'comment', classoid::regclass, objoid, objsubid, description) FROM pg_description WHERE objoid >= 16384
		ORDER BY 1`)
	counts := rowsOf(t, url, `
		SELECT coalesce(string_agg(format('SELECT %L, count(*) FROM %s', 'rows of ' || oid::regclass, oid::regclass), ' UNION ALL ' ORDER BY oid::regclass::text), 'SELECT ')
		FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'm') AND relispopulated`)
	return append(out, slices.Sorted(slices.Values(rowsOf(t, url, counts[0])))...)
}

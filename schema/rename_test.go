package schema_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
)

// engineFor is the engine of one source text on a database, with policies.
func engineFor(t *testing.T, url, source string, change func(*desired.Options)) *schema.Engine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.sql")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	o := desired.Options{TargetURL: url, DevURL: pgtest.Database(t), Sources: []desired.Source{{Path: file, Raw: "s.sql"}}}
	if change != nil {
		change(&o)
	}
	return schema.NewFrom(url, &schema.Memo{From: schema.Sources(o)}, nil)
}

const renamedTable = `-- pgtender: renamed from orders
	CREATE TABLE purchases (id int, at date NOT NULL, -- pgtender: renamed from placed
	CONSTRAINT orders_placed_not_null NOT NULL at) PARTITION BY RANGE (at);`

// A declared rename is a difference until it is applied, by a plan that stays good while partitions come and go; afterwards its
// directive means nothing. The daemon does not rename by itself, since running code has to change with it. The archive follows.
func TestDeclaredRename(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE orders (id int, placed date NOT NULL) PARTITION BY RANGE (placed)",
		"CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
		"INSERT INTO orders VALUES (1, '2024-01-05')",
		"CREATE TABLE orders_old (id int, placed date CONSTRAINT orders_placed_not_null NOT NULL) PARTITION BY RANGE (placed)",
		"COMMENT ON TABLE orders_old IS 'Archive of public.purchases; made and kept like it by pgtender'",
		"CREATE TABLE orders_0 PARTITION OF orders_old FOR VALUES FROM ('2023-01-01') TO ('2023-02-01')",
		"INSERT INTO orders_old VALUES (0, '2023-01-05')")
	e := engineFor(t, url, renamedTable+"CREATE INDEX purchases_id ON purchases (id);", func(o *desired.Options) {
		table := config.Table{Schema: "public", Name: "purchases"}
		o.Partitions = []config.Partition{{Table: table}}
		o.Archives = []config.Archive{{Table: table, Into: config.Table{Schema: "public", Name: "orders_old"}, Partitioned: true}}
	})
	drift, err := e.Drift(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(drift.Differences, func(d catalog.Difference) bool {
		return d.Change == catalog.Renamed && d.Key == catalog.TableKey("public", "purchases")
	}) {
		t.Errorf("drift does not tell the rename: %v", drift.Differences)
	}
	report, err := e.SafeApply(t.Context(), schema.ApplyOptions{})
	if err != nil || len(report.Left) != 3 {
		t.Fatalf("a daemon leaves %d statements and not 3, %v", len(report.Left), err)
	}
	p := mustPlan(t, e)
	pgtest.Exec(t, url, "CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')")
	if _, err := e.Apply(t.Context(), p, schema.ApplyOptions{AllowHazards: []plan.HazardName{plan.BreaksCode}}); err != nil {
		t.Fatal(err)
	}
	if drift, err = e.Drift(t.Context()); err != nil || len(drift.Differences) > 0 {
		t.Errorf("after the rename: %v, %v", drift, err)
	}
	var rows int
	conn := pgtest.Session(t, url)
	if err := conn.QueryRow(t.Context(), "SELECT count(at) + (SELECT count(at) FROM public.orders_old) FROM public.purchases").Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows of 2, %v", rows, err)
	}
}

// What cannot be a rename is refused by name and place, and nothing is planned.
func TestRenameRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, database, source, want string }{
		{"both in the database", "CREATE TABLE a (id int); CREATE TABLE b (id int)", "-- pgtender: renamed from a\nCREATE TABLE b (id int);",
			"s.sql:1:1: table public.b is declared as renamed from table public.a, and the database has both"},
		{"both columns in the database", "CREATE TABLE b (a int, c int)", "CREATE TABLE b (\n  c int -- pgtender: renamed from a\n);",
			"s.sql:2:9: column public.b.c is declared as renamed from column public.b.a, and the database has both"},
		{"both declared", "", "CREATE TABLE a (id int);\nCREATE TABLE b (id int); -- pgtender: renamed from a",
			"s.sql:2:26: table public.b is said to be renamed from table public.a, and the sources declare both"},
		{"both labels declared", "", "CREATE TYPE e AS ENUM ('a',\n'b' -- pgtender: renamed from 'a'\n);",
			"s.sql:2:5: label 'b' of enum public.e is said to be renamed from 'a', and the sources declare both"},
		{"overloaded", "", "-- pgtender: renamed from g\nCREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';\nCREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1';",
			"s.sql:1:1: pgtender:: it could be said of function public.f(integer) or of function public.f(text)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			if c.database != "" {
				pgtest.Exec(t, url, c.database)
			}
			_, err := engineFor(t, url, c.source, nil).Plan(t.Context())
			if err == nil || !errors.As(err, new(*desired.Error)) {
				t.Fatalf("not refused: %v", err)
			}
			if got := err.Error(); !strings.Contains(got, strings.TrimPrefix(c.want, "s.sql")) {
				t.Errorf("%s\n does not say\n%s", got, c.want)
			}
		})
	}
}

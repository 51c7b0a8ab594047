package plan_test

import (
	"context"
	"errors"
	"flag"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
)

var update = flag.Bool("update", false, "write the golden plans")

// TestCases runs the folders in testdata/cases. Each holds
//
//	old.sql      the database before; a partitioned table in it counts as one under a policy
//	new.sql      what is declared, or new.hcl
//	data.sql     optional: rows put into the old database
//	check.sql    optional: a query whose one value must be true when the plan has run
//	plan.golden  the plan, without sizes of tables that hold rows; go test -update writes it
//	oneway       optional: says why the way back from new to old is not tried
//
// It asserts that the plan leads to the catalog of a database loaded straight from new, and that a second plan is empty; of each fourth case, and
// with make soak of all, that the way back works, and that each statement locks and rewrites what the plan says (see TestClaims for the rest).
func TestCases(t *testing.T) {
	t.Parallel()
	lab := newBenches(t)
	for _, dir := range caseDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			c := openCase(t, dir, lab)
			p := c.plan(t, c.live, c.declared)
			c.golden(t, p)
			after := c.apply(t, p, c.declared)
			c.check(t)
			if exists(filepath.Join(dir, "oneway")) || !sampled(dir) {
				return
			}
			c.live.Unmanaged = nil // refused in sources, and none of them is missing
			c.apply(t, c.plan(t, after, c.live), c.live)
			if len(p.Partitions) == 0 { // those that went with their table did not come back with it
				c.observe(t, p)
			}
		})
	}
}

// sampled chooses each fourth case, and with make soak each; by its name, so that a new case changes nothing for the others.
func sampled(dir string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(filepath.Base(dir)))
	return pgtest.Scaled(int(h.Sum32()%4), 0) == 0
}

func caseDirs(t *testing.T) []string {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return dirs
}

type testCase struct {
	dir, url       string
	db             *pgx.Conn
	scope          catalog.Scope
	live, declared *catalog.Snapshot
	sources        desired.Options // of a case whose new is loaded as sources are
	result         *desired.Result
}

func openCase(t *testing.T, dir string, lab benches) *testCase {
	c := &testCase{dir: dir, url: pgtest.DatabaseFrom(t, stateTemplate(t))}
	c.db = pgtest.Session(t, c.url)
	load(t, c.db, filepath.Join(dir, "old.sql"))
	if exists(filepath.Join(dir, "data.sql")) {
		load(t, c.db, filepath.Join(dir, "data.sql"))
	}
	c.scope = catalog.Scope{Schemas: []string{"public", "app", "old"}, Policies: partitioned(t, c.db)}
	if source := declaredSource(t, dir); source != "" {
		c.sources = desired.Options{TargetURL: c.url, Sources: []desired.Source{{Path: source, Raw: source}}}
		if strings.HasSuffix(source, ".hcl") { // which declares nothing that hangs on who loads it
			given := <-lab.given
			defer func() { lab.given <- given }()
			c.sources.DevURL = given
		}
		result, err := desired.Load(t.Context(), c.sources)
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Scope.Partitioned) == 0 {
			result.Scope.Policies = c.scope.Policies
		}
		c.result, c.declared = result, result.Snapshot
		c.scope = result.Scope
	} else {
		c.declared = lab.straight(t, filepath.Join(dir, "new.sql"), c.scope)
	}
	c.live = read(t, c.db, c.scope)
	return c
}

// stateTemplate is a database in which a plan has been applied before, so that pgtender's schema is there.
func stateTemplate(t *testing.T) string {
	t.Helper()
	return pgtest.Template(t, "plan_state", func(url string) error {
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		return state.Ensure(context.Background(), conn)
	})
}

// benches are where files are loaded and forgotten: sessions in empty databases of their own, and empty databases that are given to a role
// which may not make any.
type benches struct {
	sessions chan *pgx.Conn
	given    chan string
}

func newBenches(t *testing.T) benches {
	n := runtime.GOMAXPROCS(0)
	out := benches{make(chan *pgx.Conn, n), make(chan string, n)}
	for range n {
		out.sessions <- pgtest.Session(t, pgtest.Database(t))
		out.given <- pgtest.Role(t, pgtest.Database(t), "ALTER SCHEMA public OWNER TO {role}", "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$")
	}
	return out
}

// straight is the catalog of a database that is loaded straight from the file.
func (b benches) straight(t *testing.T, file string, scope catalog.Scope) *catalog.Snapshot {
	t.Helper()
	conn := <-b.sessions
	defer func() { b.sessions <- conn }()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out *catalog.Snapshot
	forgotten := errors.New("forgotten")
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = public; SET LOCAL check_function_bodies = off; "+string(text)); err != nil {
			return err
		}
		if out, err = catalog.Read(t.Context(), tx, scope); err != nil {
			return err
		}
		return forgotten
	})
	if !errors.Is(err, forgotten) {
		t.Fatalf("%s: %v", file, err)
	}
	return out
}

// declaredSource is the file that must be read as a source: HCL, or SQL with directives.
func declaredSource(t *testing.T, dir string) string {
	t.Helper()
	if hcl := filepath.Join(dir, "new.hcl"); exists(hcl) {
		return hcl
	}
	file := filepath.Join(dir, "new.sql")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"-- pgtender:", "GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES", "PARTITION OF"} {
		if strings.Contains(string(text), word) {
			return file
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (c *testCase) plan(t *testing.T, live, declared *catalog.Snapshot) *plan.Plan {
	t.Helper()
	o := plan.Options{Database: "case"}
	if c.result != nil && declared == c.declared {
		var err error
		if o.Renames, err = c.result.Pending(live); err != nil {
			t.Fatal(err)
		}
		if len(o.Renames) > 0 {
			c.sources.Pending = o.Renames
			before, err := desired.Load(t.Context(), c.sources)
			if err != nil {
				t.Fatal(err)
			}
			o.Before = before.Before
		}
	}
	p, err := plan.Make(live, declared, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (c *testCase) golden(t *testing.T, p *plan.Plan) {
	t.Helper()
	text := text(t, p)
	golden := filepath.Join(c.dir, "plan.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("plan (-golden +made):\n%s", d)
	}
}

func text(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var out strings.Builder
	if err := p.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// apply runs the plan with all hazards, holds the result against the declared catalog, and returns it.
func (c *testCase) apply(t *testing.T, p *plan.Plan, declared *catalog.Snapshot) *catalog.Snapshot {
	t.Helper()
	_, err := apply.Run(t.Context(), apply.Options{URL: c.url, Conn: c.db, Plan: p, Declared: declared, Scope: c.scope, AllowHazards: plan.HazardNames()})
	if err != nil {
		t.Fatalf("%v\n%s", err, text(t, p))
	}
	after := read(t, c.db, c.scope) // though apply has done so
	if d := catalog.Diff(after, declared); len(d) > 0 {
		t.Fatalf("still differs: %v\n%s", d, text(t, p))
	}
	if again := c.plan(t, after, declared); !again.Empty() {
		t.Errorf("the second plan is not empty:\n%s", text(t, again))
	}
	return after
}

func (c *testCase) check(t *testing.T) {
	t.Helper()
	file := filepath.Join(c.dir, "check.sql")
	if !exists(file) {
		return
	}
	query, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var ok bool
	if err := c.db.QueryRow(t.Context(), strings.TrimRight(string(query), "; \n"), pgx.QueryExecModeExec).Scan(&ok); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if !ok {
		t.Errorf("%s: not true:\n%s", file, query)
	}
}

func load(t *testing.T, conn *pgx.Conn, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SET search_path = public; SET check_function_bodies = off; "+string(text)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if _, err := conn.Exec(t.Context(), "SET search_path = ''"); err != nil {
		t.Fatal(err)
	}
}

func partitioned(t *testing.T, conn *pgx.Conn) []catalog.Key {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'p' AND NOT c.relispartition")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (catalog.Key, error) {
		var schema, name string
		err := row.Scan(&schema, &name)
		return catalog.TableKey(schema, name), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func read(t *testing.T, conn *pgx.Conn, scope catalog.Scope) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.ReadDatabase(t.Context(), conn, scope, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

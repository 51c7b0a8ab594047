//go:build dump

package plan_test

import (
	"bytes"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/plan"
)

// TestDumps has pg_dump say what the catalogs say: of each case it holds the dump of the database that the plan has run in against that of one
// loaded straight from new. PG_DUMP names the program; it must be PostgreSQL 18's.
func TestDumps(t *testing.T) {
	t.Parallel()
	program := os.Getenv("PG_DUMP")
	if program == "" {
		program = "pg_dump"
	}
	if version, err := osexec.Command(program, "--version").Output(); err != nil || !bytes.Contains(version, []byte("(PostgreSQL) 18.")) {
		t.Fatalf("%s is not PostgreSQL 18's pg_dump (%s, %v): name one in PG_DUMP", program, bytes.TrimSpace(version), err)
	}
	lab := newBenches(t)
	for _, dir := range caseDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			c := openCase(t, dir, lab)
			p := c.plan(t, c.live, c.declared)
			c.apply(t, p, c.declared)
			for _, child := range c.declaredAlone() { // made by a policy, so not in new
				pgtest.Exec(t, c.url, "DROP TABLE IF EXISTS "+child+" CASCADE")
			}
			options := []string{"--schema-only", "--no-owner", "--exclude-schema=pgtender"}
			if text, _ := os.ReadFile(filepath.Join(dir, "new.sql")); !strings.Contains(string(text), "GRANT ") && !strings.Contains(string(text), "REVOKE ") &&
				!strings.Contains(string(text), "DEFAULT PRIVILEGES") {
				options = append(options, "--no-privileges") // not declared, so left as they are
			}
			got, want := dump(t, program, c.url, options), dump(t, program, c.straight(t), options)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("pg_dump (-straight +planned):\n%s", d)
			}
		})
	}
}

// declaredAlone are the partitions of the database that are left alone.
func (c *testCase) declaredAlone() []string {
	var out []string
	for _, child := range c.live.Children {
		if _, ok := c.declared.Lookup(child.Table); !ok {
			out = append(out, pg.Ident(child.Table.Schema, child.Table.Name))
		}
	}
	return out
}

// straight is a database loaded from new.sql, or, as HCL is no SQL, planned from an empty one.
func (c *testCase) straight(t *testing.T) string {
	t.Helper()
	url := pgtest.Database(t)
	conn := pgtest.Session(t, url)
	if file := filepath.Join(c.dir, "new.sql"); exists(file) {
		load(t, conn, file)
		return url
	}
	p, err := plan.Make(read(t, conn, c.scope), c.declared, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Run(t.Context(), apply.Options{URL: url, Plan: p, Declared: c.declared, Scope: c.scope, AllowHazards: plan.HazardNames()}); err != nil {
		t.Fatal(err)
	}
	return url
}

// dump is what pg_dump writes, one string an object, sorted: the order of objects means nothing, nor does that of columns, which the plan does not
// change. Its head and comments say when and by whom it was made.
func dump(t *testing.T, program, url string, options []string) []string {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), program, append(options, "--dbname="+url)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, stderr.String())
	}
	var objects []string
	for _, block := range strings.Split(string(out), "\n\n") {
		lines := slices.DeleteFunc(strings.Split(strings.Trim(block, "\n"), "\n"), func(l string) bool {
			return strings.HasPrefix(l, "--") || strings.HasPrefix(l, "\\")
		})
		if len(lines) == 0 {
			continue
		}
		if strings.HasPrefix(lines[0], "CREATE TABLE ") || strings.HasPrefix(lines[0], "CREATE UNLOGGED TABLE ") {
			for i := range lines {
				lines[i] = strings.TrimSuffix(lines[i], ",")
			}
			slices.Sort(lines)
		}
		objects = append(objects, strings.Join(lines, "\n"))
	}
	slices.Sort(objects)
	return objects
}

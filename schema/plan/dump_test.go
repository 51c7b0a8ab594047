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
	"github.com/pgtender/pgtender/schema/catalog"
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
			options := []string{"--schema-only", "--no-owner", "--exclude-schema=pgtender"}
			for _, child := range c.alone() {
				options = append(options, "--exclude-table="+child)
			}
			if !c.allPrivilegesDeclared(t) {
				options = append(options, "--no-privileges")
			}
			got, want := dump(t, program, c.url, options), dump(t, program, c.straight(t), options)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("pg_dump (-straight +planned):\n%s", d)
			}
		})
	}
}

// alone are the partitions of the database that are left alone, since a policy makes them.
func (c *testCase) alone() []string {
	var out []string
	for _, child := range c.live.Children {
		if _, ok := c.declared.Lookup(catalog.Key{Kind: catalog.Partition, Schema: child.Table.Schema, Name: child.Table.Name}); !ok {
			out = append(out, pg.Ident(child.Table.Schema, child.Table.Name))
		}
	}
	return out
}

// allPrivilegesDeclared reports whether the case declares privileges and has no others before, which would stay.
func (c *testCase) allPrivilegesDeclared(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "new.sql"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	said := strings.Contains(string(text), "GRANT ") || strings.Contains(string(text), "REVOKE ")
	stays := slices.ContainsFunc(c.live.Unmanaged, func(u catalog.Unmanaged) bool { return strings.HasSuffix(u.Kind, "privileges") })
	return said && !stays && !strings.Contains(string(text), "DEFAULT PRIVILEGES") // which count for what is made after them
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
		for i := range lines {
			lines[i] = sortLists(lines[i])
		}
		objects = append(objects, strings.Join(lines, "\n"))
	}
	slices.Sort(objects)
	return objects
}

// sortLists sorts what the server keeps in the order in which it was said, though that means nothing.
func sortLists(line string) string {
	for _, head := range []string{"WITH (", "WHEN TAG IN ("} {
		if before, list, ok := strings.Cut(line, head); ok && strings.Contains(list, ")") {
			list, after, _ := strings.Cut(list, ")")
			parts := strings.Split(list, ", ")
			slices.Sort(parts)
			line = before + head + strings.Join(parts, ", ") + ")" + after
		}
	}
	return line
}

package plan_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

var update = flag.Bool("update", false, "write the golden plans")

func TestCases(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			runCase(t, dir)
		})
	}
}

func runCase(t *testing.T, dir string) {
	ctx := t.Context()
	scope := catalog.Scope{Schemas: []string{"public", "app", "old"}}
	oldDB, newDB := connect(t), connect(t)
	load(t, oldDB, filepath.Join(dir, "old.sql"))
	load(t, newDB, filepath.Join(dir, "new.sql"))
	live, declared := read(t, oldDB, scope), read(t, newDB, scope)
	p, err := plan.Make(live, declared, plan.Options{Database: "case"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := p.Text(&text); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(dir, "plan.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(p.Statements); {
		j := i
		for j < len(p.Statements) && p.Statements[j].Tx == p.Statements[i].Tx && p.Statements[i].Tx != 0 {
			j++
		}
		j = max(j, i+1)
		if p.Statements[i].Tx == 0 {
			if _, err := oldDB.Exec(ctx, p.Statements[i].SQL); err != nil {
				t.Fatalf("%v\n%s\n%s", err, p.Statements[i].SQL, text.String())
			}
		} else if err := pgx.BeginFunc(ctx, oldDB, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL check_function_bodies = off"); err != nil {
				return err
			}
			for _, s := range p.Statements[i:j] {
				if _, err := tx.Exec(ctx, s.SQL); err != nil {
					t.Errorf("%v\n%s", err, s.SQL)
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		i = j
	}
	after := read(t, oldDB, scope)
	if d := catalog.Diff(after, declared); len(d) > 0 {
		t.Fatalf("still differs: %v\n%s", d, text.String())
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text.String()); d != "" {
		t.Errorf("plan (-golden +made):\n%s", d)
	}
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pg.Dedicated(t.Context(), pgtest.Database(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func load(t *testing.T, conn *pgx.Conn, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SET search_path = public; "+string(text)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if _, err := conn.Exec(t.Context(), "SET search_path = ''"); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, conn *pgx.Conn, scope catalog.Scope) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.ReadDatabase(t.Context(), conn, scope, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

package plan_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// TestAnyToAny goes from the database of one case to that of another, which has nothing to do with it: whatever a plan does,
// it ends in the declared state, or names what it cannot do, or is refused by the server as a whole.
func TestAnyToAny(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cases/*/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) != "old.sql" && filepath.Base(f) != "new.sql" })
	pairs := pgtest.Scaled(1, 16)
	for i, from := range files {
		if pgtest.Scaled(i%16, 0) > 0 {
			continue
		}
		for n := range pairs {
			to := files[(i*31+17+n*7)%len(files)]
			t.Run(fmt.Sprintf("%s to %s", short(from), short(to)), func(t *testing.T) {
				t.Parallel()
				anyToAny(t, from, to)
			})
		}
	}
}

func short(file string) string {
	return filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
}

func anyToAny(t *testing.T, from, to string) { between(t, database(t, from), database(t, to)) }

// between goes from one database to the schema of another.
func between(t *testing.T, url, to string) {
	t.Helper()
	conn := pgtest.Session(t, url)
	scope := catalog.Scope{Schemas: []string{"public", "app", "old"}, Policies: partitioned(t, conn)}
	declared := read(t, pgtest.Session(t, to), catalog.Scope{Schemas: scope.Schemas})
	declared.Unmanaged = nil // privileges and partitions, which a case may have
	live := read(t, conn, scope)
	p, err := plan.Make(live, declared, plan.Options{})
	var unplanned *plan.UnplannedError
	if errors.As(err, &unplanned) {
		t.Log(err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = apply.Run(t.Context(), apply.Options{URL: url, Plan: p, Declared: declared, Scope: scope, AllowHazards: plan.HazardNames()})
	if pg.Is(err, "42846", "42804", "0A000", "22P02", "23502", "42883") && errors.As(err, new(*apply.PartialError)) { // types that have nothing in common
		t.Log(err)
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text(t, p))
	}
	if again, err := plan.Make(read(t, conn, scope), declared, plan.Options{}); err != nil || !again.Empty() {
		t.Errorf("the second plan: %v", err)
	}
}

// database is a copy of the one that a case's file makes.
func database(t *testing.T, file string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(short(file))) // the server cuts long names
	return pgtest.DatabaseFrom(t, pgtest.Template(t, "plan_"+hex.EncodeToString(sum[:8]), func(url string) error {
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		sql, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		_, err = conn.Exec(context.Background(), "SET search_path = public; SET check_function_bodies = off; "+string(sql))
		return err
	}))
}

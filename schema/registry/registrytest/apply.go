// Package registrytest gives tests a database with the registry in it.
package registrytest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry"
)

// Database returns the URL of a database of the test's own that holds the registry, empty.
func Database(t testing.TB) string {
	t.Helper()
	return pgtest.DatabaseFrom(t, Template(t))
}

// Template returns the name of the template that Database copies.
func Template(t testing.TB) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range files(t) {
		b, err := registry.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(b)
	}
	return pgtest.Template(t, "registry_"+hex.EncodeToString(sum.Sum(nil)[:6]), func(url string) error {
		return Apply(context.Background(), url)
	})
}

func files(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(registry.Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Apply creates the registry in an empty database, in one transaction: the tables as Atlas plans them
// from tables.hcl, then the SQL files. A statement that needs an object of a later one is tried
// again after it.
func Apply(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	drv, err := postgres.Open(db)
	if err != nil {
		return err
	}
	statements, err := tableStatements(ctx, drv)
	if err != nil {
		return err
	}
	names, err := fs.Glob(registry.Files, "*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := registry.Files.ReadFile(name)
		if err != nil {
			return err
		}
		scanned, err := drv.(migrate.StmtScanner).ScanStmts(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, s := range scanned {
			statements = append(statements, statement{fmt.Sprintf("%s:%d", path.Base(name), 1+strings.Count(string(text[:s.Pos]), "\n")), s.Text})
		}
	}
	return run(ctx, db, statements)
}

type statement struct{ where, text string }

var virtualKind = regexp.MustCompile(`(?m)^(\s*type\s*=\s*)VIRTUAL$`)

// tableStatements plans tables.hcl from nothing. Atlas knows only STORED columns, so it is told so
// and its statements are put right.
func tableStatements(ctx context.Context, drv migrate.Driver) ([]statement, error) {
	text, err := registry.Files.ReadFile("tables.hcl")
	if err != nil {
		return nil, err
	}
	if regexp.MustCompile(`(?m)^\s*type\s*=\s*STORED$`).Match(text) {
		return nil, errors.New("tables.hcl: a STORED column would become VIRTUAL here")
	}
	var realm schema.Realm
	if err := postgres.EvalHCLBytes(virtualKind.ReplaceAll(text, []byte("${1}STORED")), &realm, nil); err != nil {
		return nil, fmt.Errorf("tables.hcl: %w", err)
	}
	empty := schema.NewRealm(schema.New("public"))
	changes, err := drv.RealmDiff(empty, &realm)
	if err != nil {
		return nil, err
	}
	plan, err := drv.PlanChanges(ctx, "registry", changes)
	if err != nil {
		return nil, err
	}
	var out []statement
	for _, c := range plan.Changes {
		out = append(out, statement{"tables.hcl: " + c.Comment, strings.ReplaceAll(c.Cmd, ") STORED", ") VIRTUAL")})
	}
	return out, nil
}

func run(ctx context.Context, db *sql.DB, statements []statement) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "SET LOCAL check_function_bodies = off; SET LOCAL search_path = ''; CREATE SCHEMA IF NOT EXISTS public"); err != nil {
		return err
	}
	for len(statements) > 0 {
		var later []statement
		var first error
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, "SAVEPOINT s"); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, s.text)
			switch {
			case err == nil:
				_, err = tx.ExecContext(ctx, "RELEASE s")
			case pg.Is(err, pg.UndefinedTable, pg.UndefinedFunction, pg.UndefinedObject, pg.UndefinedColumn):
				if first == nil {
					first = fmt.Errorf("%s: %w", s.where, err)
				}
				later = append(later, s)
				_, err = tx.ExecContext(ctx, "ROLLBACK TO s")
			default:
				err = fmt.Errorf("%s: %w\n%s", s.where, err, s.text)
			}
			if err != nil {
				return err
			}
		}
		if len(later) == len(statements) {
			return first
		}
		statements = later
	}
	return tx.Commit()
}

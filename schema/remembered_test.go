package schema_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/desired"
)

// small is a declaration of a few objects in a file of its own, for an owner of the database's public schema.
type small struct {
	t    *testing.T
	url  string
	file string
	conn *pgx.Conn // a superuser's
}

func newSmall(t *testing.T) *small {
	t.Helper()
	admin := pgtest.Database(t)
	s := &small{t: t, file: filepath.Join(t.TempDir(), "app.sql"), conn: pgtest.Session(t, admin)}
	s.url = pgtest.Role(t, admin, "GRANT CREATE ON SCHEMA public TO {role}", "ALTER ROLE {role} CREATEDB")
	pgtest.Exec(t, admin, "CREATE SCHEMA pgtender AUTHORIZATION "+pg.Ident(s.role()))
	s.declare("CREATE TABLE public.t (a int PRIMARY KEY, b text DEFAULT 'x'); CREATE VIEW public.v AS SELECT a FROM public.t;")
	return s
}

func (s *small) role() string {
	s.t.Helper()
	var name string
	if err := pgtest.Session(s.t, s.url).QueryRow(s.t.Context(), "SELECT current_user").Scan(&name); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *small) declare(sql string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(sql), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *small) exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// engine is that of another process.
func (s *small) engine() *schema.Engine {
	env := &config.Env{URL: s.url, Sources: []config.Source{{Path: s.file, Raw: s.file}}, Schemas: []string{"public"}, SchemasGiven: true}
	return schema.New(env, nil)
}

func (s *small) differences() (int, error) {
	d, err := s.engine().Drift(s.t.Context())
	if err != nil {
		return 0, err
	}
	return len(d.Differences), nil
}

func (s *small) want(n int, when string) {
	s.t.Helper()
	if got, err := s.differences(); err != nil || got != n {
		s.t.Errorf("%s: %d differences, want %d: %v", when, got, n, err)
	}
}

// wantScratch says that the sources must be loaded, for which this role has no right any more.
func (s *small) wantScratch(when string) {
	s.t.Helper()
	var scratch *desired.ScratchError
	if n, err := s.differences(); !errors.As(err, &scratch) {
		s.t.Errorf("%s: %d, %v", when, n, err)
	}
}

func TestADatabaseRemembersWhatIsDeclared(t *testing.T) {
	t.Parallel()
	s := newSmall(t)
	if _, err := s.engine().SafeApply(t.Context(), schema.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER ROLE " + pg.Ident(s.role()) + " NOCREATEDB")
	s.want(0, "after an apply")
	s.exec("ALTER TABLE public.t ALTER b SET DEFAULT 'y'")
	s.want(1, "changed by hand")
	s.exec("DROP VIEW public.v")
	s.want(2, "changed again")
	if report, err := s.engine().SafeApply(t.Context(), schema.ApplyOptions{}); err != nil || report.Ran == 0 {
		t.Fatalf("apply without a scratch database: %+v %v", report, err)
	}
	s.want(0, "mended")
	s.want(0, "spared")
	s.exec("CREATE TABLE public.more (a int)")
	s.want(2, "a table and its column more") // it was equal and is no longer
	s.exec("DROP TABLE public.more")
	s.want(0, "dropped again")

	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.declare(string(text) + "CREATE TABLE public.further (a int);")
	s.wantScratch("sources that were never applied")
	s.declare(string(text))
	s.want(0, "the former sources")

	for _, damage := range []string{"content = content || '\\x00'", "content = overlay(content placing '\\xffff' from 40)", "digest = '\\x00'", "content = ''"} {
		s.exec("BEGIN; UPDATE pgtender.declared SET " + damage + "; COMMIT")
		s.wantScratch("damaged: " + damage)
		s.exec("ALTER ROLE " + pg.Ident(s.role()) + " CREATEDB")
		s.want(0, "damaged, and loaded anew")
		if _, err := s.engine().SafeApply(t.Context(), schema.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		e := s.engine()
		if d, err := e.Drift(t.Context()); err != nil || len(d.Differences) > 0 {
			t.Fatalf("%+v %v", d, err)
		}
		e.Remember(t.Context()) // as `apply` and the daemon do when there is nothing to apply
		s.exec("ALTER ROLE " + pg.Ident(s.role()) + " NOCREATEDB")
		s.want(0, "remembered anew")
	}
	// A row that says "equal" of other catalogs, or of another declaration, is not believed.
	s.want(0, "noted")
	s.exec("ALTER TABLE public.t ALTER b SET DEFAULT 'z'")
	s.exec("UPDATE pgtender.declared SET stamp = stamp || ' '")
	s.want(1, "another stamp")
	s.exec("UPDATE pgtender.declared SET equal = overlay(equal placing '\\x00' from 3)")
	s.want(1, "a damaged note")
	s.exec("DROP TABLE pgtender.declared")
	s.wantScratch("no memory")
}

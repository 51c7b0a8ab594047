package state_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestEnsureIsIdempotentAndCommentsEverything(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	for range 2 {
		if err := state.Ensure(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	var version int
	var bare []string
	err := conn.QueryRow(t.Context(), `
		SELECT (SELECT max(version) FROM pgtender.version),
		       coalesce((SELECT array_agg(what ORDER BY what) FROM (
		           SELECT c.relname::text AS what FROM pg_class c
		           WHERE c.relnamespace = 'pgtender'::regnamespace AND c.relkind IN ('r', 'i')
		             AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)
		             AND obj_description(c.oid, 'pg_class') IS NULL
		           UNION ALL
		           SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		           WHERE c.relnamespace = 'pgtender'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
		             AND col_description(c.oid, a.attnum) IS NULL
		           UNION ALL
		           SELECT c.relname || '.' || a.attname || ' is a timestamp without time zone' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		           WHERE c.relnamespace = 'pgtender'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'timestamp'::regtype
		       ) AS found), '{}')`).Scan(&version, &bare)
	if err != nil {
		t.Fatal(err)
	}
	if version != state.Version {
		t.Errorf("version %d, want %d", version, state.Version)
	}
	if len(bare) > 0 {
		t.Errorf("without a comment: %s", strings.Join(bare, ", "))
	}
}

func TestEnsureFromManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		conn := pgtest.Session(t, url)
		wg.Go(func() { errs[i] = state.Ensure(t.Context(), conn) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := pgtest.Session(t, url).QueryRow(t.Context(), "SELECT count(*) FROM pgtender.version").Scan(&rows); err != nil || rows != state.Version {
		t.Fatalf("%d rows in pgtender.version (%v), want %d", rows, err, state.Version)
	}
}

func TestEnsureRefusesANewerVersion(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	if err := state.Ensure(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "INSERT INTO pgtender.version (version) VALUES ($1)", state.Version+1)
	err := state.Ensure(t.Context(), conn)
	var newer *state.NewerError
	if !errors.As(err, &newer) || newer.Found != state.Version+1 || !strings.Contains(err.Error(), "made by a newer pgtender") {
		t.Fatalf("got %v", err)
	}
}

func TestEnsureRefusesSomebodyElsesTables(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	exec(t, conn, "CREATE SCHEMA pgtender; CREATE TABLE pgtender.recipes (id int)")
	err := state.Ensure(t.Context(), conn)
	if err == nil || !strings.Contains(err.Error(), "not pgtender's: pgtender.recipes") {
		t.Fatalf("got %v", err)
	}
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_class WHERE relnamespace = 'pgtender'::regnamespace").Scan(&tables); err != nil || tables != 1 {
		t.Fatalf("%d relations (%v), want the one that was there", tables, err)
	}
}

// Each refusal names the GRANT, and that GRANT, run as printed, is enough.
func TestEnsureAsARoleWithoutRights(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := pgtest.Session(t, url)
	role := pgtest.Session(t, pgtest.Role(t, url))

	grant := func(wantText string) {
		t.Helper()
		err := state.Ensure(t.Context(), role)
		var lacks *state.PrivilegeError
		if !errors.As(err, &lacks) {
			t.Fatalf("got %v, want a PrivilegeError", err)
		}
		if !strings.Contains(err.Error(), wantText) {
			t.Errorf("got %q, want %q in it", err, wantText)
		}
		exec(t, admin, lacks.Grant)
	}
	grant("GRANT CREATE ON DATABASE ")
	if err := state.Ensure(t.Context(), role); err != nil {
		t.Fatal(err)
	}

	// A second role finds the first one's schema.
	role = pgtest.Session(t, pgtest.Role(t, url))
	grant("GRANT USAGE ON SCHEMA pgtender TO ")
	if err := state.Ensure(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	exec(t, role, "INSERT INTO pgtender.run (job, trigger) VALUES ('io', 'manual')")

	// A schema made for a third role, empty, without any right on the database.
	exec(t, admin, "DROP SCHEMA pgtender CASCADE; CREATE SCHEMA pgtender")
	role = pgtest.Session(t, pgtest.Role(t, url))
	grant("GRANT USAGE, CREATE ON SCHEMA pgtender TO ")
	if err := state.Ensure(t.Context(), role); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureOnAReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	exec(t, conn, "SET default_transaction_read_only = on")
	err := state.Ensure(t.Context(), conn)
	var standby *pg.StandbyError
	if !errors.As(err, &standby) {
		t.Fatalf("got %v", err)
	}
	exec(t, conn, "SET default_transaction_read_only = off")
	if err := state.Ensure(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "SET default_transaction_read_only = on")
	if err := state.Ensure(t.Context(), conn); err != nil {
		t.Errorf("a schema that is there: %v", err)
	}
}

package desired_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

func queryColumn(t testing.TB, url, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func scratches(t testing.TB, url string) []string {
	return queryColumn(t, url, `SELECT datname::text FROM pg_database WHERE datname LIKE 'pgtender\_scratch%' ORDER BY 1`)
}

const (
	slow    = "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a FROM pg_sleep(600)"
	asleep  = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname LIKE 'pgtender%')"
	locales = `SELECT DISTINCT concat_ws(' ', encoding, datlocprovider, datcollate, datctype, datlocale, daticurules) FROM pg_database WHERE datname LIKE 'pgtender\_scratch%' OR datname = 'odd'`
)

func TestScratchDatabases(t *testing.T) {
	server := pgtest.Private(t)
	url := server.URL("postgres")
	t.Run("those left by a crash are removed, others not", func(t *testing.T) {
		left, used, odd := "pgtender_scratch_0123456789abcdef", "pgtender_scratch_fedcba9876543210", "pgtender_scratch_of_mine"
		pgtest.Exec(t, url, "CREATE DATABASE "+left, "CREATE DATABASE "+used, "CREATE DATABASE "+odd, "CREATE DATABASE elsewhere")
		holder, err := pgx.Connect(t.Context(), server.URL("elsewhere")) // another run, by way of another database
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pg.TryLock(t.Context(), holder, "scratch "+used); err != nil || !got {
			t.Fatal(got, err)
		}
		core, logs := observer.New(zap.InfoLevel)
		if _, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: sources(map[string]string{"a.sql": ""}), Log: zap.New(core)}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{used, odd}, scratches(t, url)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if logs.FilterField(zap.String("database", left)).Len() != 1 {
			t.Errorf("logged %v", logs.All())
		}
		holder.Close(context.Background())
		pgtest.Eventually(t, url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'elsewhere')")
		if _, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: sources(map[string]string{"a.sql": ""})}); err != nil {
			t.Fatal(err)
		}
		pgtest.Exec(t, url, "DROP DATABASE "+odd)
		if got := scratches(t, url); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
	t.Run("none is left by a refusal", func(t *testing.T) {
		for _, bad := range []string{"CREATE TABLE t (a nothing)", "CREATE PUBLICATION p"} {
			if _, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: sources(map[string]string{"a.sql": bad})}); err == nil {
				t.Error("no error")
			}
		}
		if got := scratches(t, url); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
	t.Run("the target's locale, and none is left by a cancellation", func(t *testing.T) {
		pgtest.Exec(t, url, "CREATE DATABASE odd TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() {
			_, err := desired.Load(ctx, desired.Options{TargetURL: server.URL("odd"), Sources: sources(map[string]string{"a.sql": slow})})
			done <- err
		}()
		pgtest.Eventually(t, url, asleep)
		if got := queryColumn(t, url, locales); len(got) != 1 {
			t.Errorf("locales of the target and the scratch database: %q", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got := scratches(t, url); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
	t.Run("one left by a kill is removed by the next run", func(t *testing.T) {
		child := exec.Command(os.Args[0], "-test.run=^TestLoadInAChild$")
		child.Env = append(os.Environ(), "PGTENDER_TEST_LOAD="+url)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		pgtest.Eventually(t, url, asleep)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait()
		if got := scratches(t, url); len(got) != 1 {
			t.Errorf("the killed one left %v", got)
		}
		// Its sleeping session has not noticed, but the one that held the lock has.
		pgtest.Eventually(t, url, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
		if _, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: sources(map[string]string{"a.sql": ""})}); err != nil {
			t.Fatal(err)
		}
		if got := scratches(t, url); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
	t.Run("several at once", func(t *testing.T) {
		var wait sync.WaitGroup
		prints := make([]string, 4)
		for i := range prints {
			wait.Go(func() {
				r, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: []desired.Source{{Path: "../registry"}}})
				if err != nil {
					t.Error(err)
					return
				}
				prints[i] = r.Snapshot.Fingerprint()
			})
		}
		wait.Wait()
		if slices.Sort(prints); prints[0] != prints[3] {
			t.Errorf("not the same: %v", prints)
		}
		if got := scratches(t, url); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
}

// TestLoadInAChild is what TestScratchDatabases kills.
func TestLoadInAChild(t *testing.T) {
	url := os.Getenv("PGTENDER_TEST_LOAD")
	if url == "" {
		return // not the child
	}
	_, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: sources(map[string]string{"a.sql": slow})})
	t.Fatal(err)
}

func TestFewRights(t *testing.T) {
	target := pgtest.Database(t)
	poor := pgtest.Role(t, target)
	role := queryColumn(t, poor, "SELECT current_user::text")[0]
	files := sources(map[string]string{"a.sql": "CREATE SCHEMA app; CREATE TABLE app.t (a integer); CREATE EXTENSION citext; CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'"})
	with := func(dev string) error {
		_, err := desired.Load(t.Context(), desired.Options{TargetURL: poor, DevURL: dev, Sources: files})
		return err
	}
	says := func(t *testing.T, err error, want string) {
		t.Helper()
		var none *desired.ScratchError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ALTER ROLE "+pg.Ident(role)+" CREATEDB;") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	t.Run("nowhere", func(t *testing.T) { says(t, with(""), "may not create the scratch database") })
	t.Run("the target itself", func(t *testing.T) { says(t, with(poor), "it is the target itself") })

	given := pgtest.Database(t)
	pgtest.Exec(t, given, "GRANT CREATE ON DATABASE "+pg.Ident(queryColumn(t, given, "SELECT current_database()::text")[0])+" TO "+pg.Ident(role), "GRANT CREATE ON SCHEMA public TO "+pg.Ident(role))
	borrowed := pgtest.As(t, given, role, "")
	t.Cleanup(func() { pgtest.Exec(t, given, "DROP OWNED BY "+pg.Ident(role)) })
	t.Run("a given database is borrowed and left empty", func(t *testing.T) {
		for range 2 {
			if err := with(borrowed); err != nil {
				t.Fatal(err)
			}
		}
		if got := queryColumn(t, given, "SELECT nspname::text FROM pg_namespace WHERE nspname = 'app' UNION ALL SELECT extname::text FROM pg_extension WHERE extname = 'citext'"); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	})
	t.Run("what it has itself is not declared", func(t *testing.T) {
		result, err := desired.Load(t.Context(), desired.Options{TargetURL: poor, DevURL: borrowed, Sources: sources(map[string]string{"a.sql": "CREATE TABLE t (a integer);"})})
		if err != nil || len(result.Snapshot.Unmanaged) > 0 {
			t.Errorf("got %v, %v", result.Snapshot.Unmanaged, err)
		}
	})
	t.Run("refusals are found there too", func(t *testing.T) {
		_, err := desired.Load(t.Context(), desired.Options{TargetURL: poor, DevURL: borrowed, Sources: sources(map[string]string{"a.sql": "CREATE TABLE t (a integer);\nCREATE OPERATOR === (leftarg = integer, rightarg = integer, function = int4eq);"})})
		if err == nil || !strings.HasPrefix(err.Error(), "a.sql:2:1: operator public.===") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("borrowers wait for each other", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := make(chan error)
		go func() {
			_, err := desired.Load(ctx, desired.Options{TargetURL: poor, DevURL: borrowed, Sources: sources(map[string]string{"a.sql": slow})})
			first <- err
		}()
		database := queryColumn(t, given, "SELECT current_database()::text")[0]
		pgtest.Eventually(t, given, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = $1)", database)
		second := make(chan error)
		go func() { second <- with(borrowed) }()
		pgtest.Eventually(t, given, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = $1)", database)
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("first: %v", err)
		}
		pgtest.Exec(t, given, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
		select {
		case err := <-second:
			if err != nil {
				t.Errorf("second: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the second one still waits")
		}
	})
	t.Run("a database with something in it is not", func(t *testing.T) {
		pgtest.Exec(t, given, "CREATE TABLE public.precious (a integer)")
		says(t, with(borrowed), "it is not empty, it has relation")
	})
	t.Run("CREATEDB is enough", func(t *testing.T) {
		pgtest.Exec(t, target, "ALTER ROLE "+pg.Ident(role)+" CREATEDB")
		r, err := desired.Load(t.Context(), desired.Options{TargetURL: poor, Sources: files})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Snapshot.Lookup(catalog.TableKey("app", "t")); !ok {
			t.Error("no table app.t")
		}
	})
}

func TestNoServer(t *testing.T) {
	_, err := desired.Load(t.Context(), desired.Options{TargetURL: "postgres://u:secret@127.0.0.1:1/x", Sources: sources(map[string]string{"a.sql": ""})})
	var connect *pg.ConnectError
	if !errors.As(err, &connect) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

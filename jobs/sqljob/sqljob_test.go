package sqljob_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/sqljob"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func run(ctx context.Context, url, sql string, timeout time.Duration) (jobs.Result, error) {
	task := sqljob.New(config.SQLJob{Name: "own", SQL: sql, Timeout: timeout}, url)
	return task.Run(ctx, &jobs.Run{ID: 1})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE SCHEMA app", "CREATE TABLE app.counts (n int)",
		// It commits by itself, which it may only outside a transaction block.
		"CREATE PROCEDURE app.roll_up() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO app.counts VALUES (i); COMMIT; END LOOP; END $$")
	for _, c := range []struct {
		sql, summary string
		outcome      jobs.Outcome
	}{
		{"CALL app.roll_up()", "CALL", jobs.Success},
		{"CALL app.roll_up();", "CALL", jobs.Success},
		{"UPDATE app.counts SET n = n + 1 WHERE n = 3", "UPDATE 2", jobs.Success},
		{"UPDATE app.counts SET n = n + 1 WHERE n = 3", "UPDATE 0", jobs.Noop},
		{"SELECT * FROM generate_series(1, 100000)", "SELECT 100000", jobs.Success},
		{"INSERT INTO app.counts VALUES (9) RETURNING n", "INSERT 0 1", jobs.Success},
		{"VACUUM app.counts", "VACUUM", jobs.Success},
		{"CREATE INDEX CONCURRENTLY counts_n ON app.counts (n)", "CREATE INDEX", jobs.Success},
		{"DO $$ BEGIN PERFORM 1; PERFORM 2; END $$", "DO", jobs.Success},
	} {
		got, err := run(t.Context(), url, c.sql, time.Minute)
		if err != nil || got.Outcome != c.outcome || got.Summary != c.summary {
			t.Errorf("%s: got %+v, %v", c.sql, got, err)
		}
	}
	pgtest.Eventually(t, url, "SELECT count(*) = 7 FROM app.counts")
}

func TestTheSessionIsTheRolesOwn(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	role := pgtest.Role(t, url, "CREATE SCHEMA app", "CREATE TABLE app.seen (path text, zone text, statement_timeout text, lock_timeout text)",
		"GRANT USAGE ON SCHEMA app TO {role}", "GRANT ALL ON app.seen TO {role}",
		"ALTER ROLE {role} SET search_path = app", "ALTER ROLE {role} SET TimeZone = 'Asia/Kathmandu'", "ALTER ROLE {role} SET statement_timeout = '1h'")
	const sql = "INSERT INTO seen SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('lock_timeout')"
	if _, err := run(t.Context(), role, sql, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, url, "SELECT seen = ('app', 'Asia/Kathmandu', '2min', '30s')::app.seen FROM app.seen")
	pgtest.Exec(t, url, "DELETE FROM app.seen", "DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET lock_timeout = 7', (SELECT rolname FROM pg_roles WHERE rolconfig @> '{search_path=app}')); END $$")
	if _, err := run(t.Context(), role, sql, 0); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, url, "SELECT seen = ('app', 'Asia/Kathmandu', '10min', '7ms')::app.seen FROM app.seen")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.t (id int)")
	for sql, want := range map[string]string{
		"INSERT INTO public.t VALUES (1); INSERT INTO public.t VALUES (2)": "a job is one statement",
		"SELECT pg_sleep(60)":      `timeout = "30 minutes"`,
		"SELECT * FROM nowhere":    "write the schema before the name",
		"CALL nobody()":            "write the schema before the name",
		"SELEC 1":                  "syntax error",
		"INSERT INTO t SELECT 1/0": "division by zero",
	} {
		if _, err := run(t.Context(), url, sql, 200*time.Millisecond); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", sql, err, want)
		}
	}
	pgtest.Eventually(t, url, "SELECT count(*) = 0 FROM public.t")
}

// When it is cancelled, the statement has ended on the server, too: nothing is committed afterwards.
func TestCancelling(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.t (id int)",
		"CREATE FUNCTION public.slow() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(60)'")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := run(ctx, url, "INSERT INTO public.t SELECT public.slow()", time.Minute)
		done <- err
	}()
	const running = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"
	pgtest.Eventually(t, url, running)
	cancel()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "canceling statement due to user request") {
			t.Errorf("got %v, want the server's confirmation", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not cancelled")
	}
	pgtest.Eventually(t, url, "SELECT NOT ("+running[len("SELECT "):]+") AND NOT EXISTS (SELECT FROM public.t)")
}

func TestADryRunSaysTheStatement(t *testing.T) {
	t.Parallel()
	var said string
	task := sqljob.New(config.SQLJob{Name: "own", SQL: "\n  CALL x()\n"}, "postgres://nobody@127.0.0.1:1/none")
	if _, err := task.Run(t.Context(), &jobs.Run{DryRun: true, Say: func(_ string, args ...any) { said = args[0].(string) }}); err != nil || said != "CALL x()" {
		t.Errorf("said %q, %v", said, err)
	}
}

// A run whose process was stopped may leave its statement running on the server: the next one's does not run beside it.
func TestTheStatementRunsOnceAtATime(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.t (id int)")
	gate := pgtest.Session(t, url)
	if _, err := gate.Exec(t.Context(), "SELECT pg_advisory_lock(7)"); err != nil {
		t.Fatal(err)
	}
	task := sqljob.New(config.SQLJob{Name: "own", SQL: "INSERT INTO public.t SELECT 1 FROM (SELECT pg_advisory_xact_lock_shared(7)) g"}, url)
	begin := func(said chan<- string) chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := task.Run(t.Context(), &jobs.Run{Say: func(format string, args ...any) { said <- fmt.Sprintf(format, args...) }})
			ended <- err
		}()
		return ended
	}
	first := begin(make(chan string, 9))
	const waiting = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
	pgtest.Eventually(t, url, waiting)
	said := make(chan string, 9)
	second := begin(said)
	if got := <-said; !strings.Contains(got, "still busy with the statement of an earlier run") {
		t.Error(got)
	}
	pgtest.Eventually(t, url, waiting)
	if _, err := gate.Exec(t.Context(), "SELECT pg_advisory_unlock(7)"); err != nil {
		t.Fatal(err)
	}
	for _, ended := range []chan error{first, second} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	pgtest.Eventually(t, url, "SELECT count(*) = 2 FROM public.t")
}

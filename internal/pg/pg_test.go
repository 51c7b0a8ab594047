package pg_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// The server itself says whether a quoted name or string is still the same one.
func TestQuotingSurvivesTheServer(t *testing.T) {
	conn := pgtest.Session(t, pgtest.Database(t))
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[a-z"'\\$; \n%é€-]{1,15}`).Draw(rt, "text")
		for _, conforming := range []string{"on", "off"} {
			var got string
			if _, err := conn.Exec(t.Context(), "SET standard_conforming_strings = "+conforming); err != nil {
				rt.Fatal(err)
			}
			sql := "SELECT " + pg.Literal(text) + " AS " + pg.Ident(text)
			rows, err := conn.Query(t.Context(), sql, pgx.QueryExecModeExec)
			if err != nil {
				rt.Fatalf("%s: %v", sql, err)
			}
			name := rows.FieldDescriptions()
			for rows.Next() {
				if err := rows.Scan(&got); err != nil {
					rt.Fatal(err)
				}
			}
			if rows.Err() != nil || got != text {
				rt.Fatalf("%s gave %q, %v", sql, got, rows.Err())
			}
			if name != nil && name[0].Name != text {
				rt.Fatalf("%s named %q", sql, name[0].Name)
			}
		}
	})
}

func TestSessionsIgnoreWhatTheRoleSets(t *testing.T) {
	url := pgtest.Database(t)
	admin := pgtest.Session(t, url)
	var db string
	if err := admin.QueryRow(t.Context(), "SELECT current_database()").Scan(&db); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"TimeZone = 'Asia/Kathmandu'", "DateStyle = 'German'", "search_path = 'evil'", "statement_timeout = '1s'", "transaction_timeout = '1s'"} {
		if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+pg.Ident(db)+" SET "+set); err != nil {
			t.Fatal(err)
		}
	}
	conn := pgtest.Session(t, url)
	var got string
	err := conn.QueryRow(t.Context(), `SELECT concat_ws('|', current_setting('TimeZone'), current_setting('DateStyle'),
		current_setting('search_path'), current_setting('statement_timeout'), current_setting('transaction_timeout'))`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	if want := `UTC|ISO, DMY|""|0|0`; got != want {
		t.Errorf("session settings %s, want %s", got, want)
	}
}

func TestConnectionErrorsSayWhatToDo(t *testing.T) {
	url := pgtest.Database(t)
	withDatabase := func(name string) string {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(url, "/"+cfg.Database, "/"+name, 1)
	}
	for name, test := range map[string]struct{ url, want string }{
		"no server":        {"postgres://u:hunter2@127.0.0.1:1/d", "no server answers (host 127.0.0.1, port 1, database \"d\", user \"u\")"},
		"no such database": {withDatabase("nowhere"), "CREATE DATABASE \"nowhere\";"},
		"bad string":       {"postgres://u:hunter2@[::1/d", "connection string cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pg.Dedicated(t.Context(), test.url, "")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want it to say %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is printed: %v", err)
			}
		})
	}
}

func TestRedactKeepsNoSecret(t *testing.T) {
	for _, url := range []string{
		"postgres://u:hunter2@h:5433/d?sslpassword=hunter2&options=-chunter2",
		"host=h port=5433 user=u password=hunter2 dbname=d",
		"postgres://u:hunter2@h:5433/d?nonsense=%zz&password=hunter2",
	} {
		if got := pg.Redact(url); strings.Contains(got, "hunter2") {
			t.Errorf("Redact(%q) = %q", url, got)
		}
	}
	if got := pg.Redact("host=h port=5433 user=u password=x dbname=d"); got != "postgres://u@h:5433/d" {
		t.Errorf("Redact = %q", got)
	}
}

func TestPatienceWaitsForTheLockAndThenDoesTheWorkOnce(t *testing.T) {
	url := pgtest.Database(t)
	holder, worker := pgtest.Session(t, url), pgtest.Session(t, url)
	exec := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(holder, "CREATE TABLE public.t (n int)")
	exec(holder, "BEGIN; LOCK TABLE public.t")

	waits := 0
	patience := pg.Patience{LockTimeout: 20 * time.Millisecond, Attempts: 100, Pause: time.Millisecond, MaxPause: 5 * time.Millisecond,
		Waited: func(attempt int, err error) {
			waits++
			if !pg.Is(err, pg.LockNotAvailable) {
				t.Errorf("attempt %d: %v", attempt, err)
			}
			if attempt == 3 {
				exec(holder, "COMMIT")
			}
		}}
	err := patience.InTx(t.Context(), worker, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO public.t VALUES (1)")
		return err
	})
	if err != nil || waits != 3 {
		t.Fatalf("%d waits, error %v", waits, err)
	}
	var rows int
	if err := worker.QueryRow(t.Context(), "SELECT count(*) FROM public.t").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestPatienceGivesUpWithABusyError(t *testing.T) {
	calls := 0
	patience := pg.Patience{Attempts: 3, Pause: time.Millisecond, MaxPause: time.Millisecond}
	err := patience.Do(t.Context(), func() error {
		calls++
		return &pgconn.PgError{Code: pg.DeadlockDetected, Message: "deadlock detected"}
	})
	var busy *pg.BusyError
	if !errors.As(err, &busy) || calls != 3 || !pg.Is(err, pg.DeadlockDetected) {
		t.Errorf("%d calls, error %v", calls, err)
	}
	if err := patience.Do(t.Context(), func() error { return errors.New("other") }); err.Error() != "other" {
		t.Errorf("an error that waiting cannot mend came back as %v", err)
	}
}

func TestPreflightRefusesWritesOnAReadOnlyServer(t *testing.T) {
	url := pgtest.Database(t)
	conn := pgtest.Session(t, url)
	if _, err := conn.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	var standby *pg.StandbyError
	if _, err := pg.PreflightPrimary(t.Context(), conn); !errors.As(err, &standby) {
		t.Errorf("error %v", err)
	}
	server, err := pg.Preflight(t.Context(), conn)
	if err != nil || server.VersionNum/10000 != pg.SupportedMajor || !server.ReadOnly {
		t.Errorf("%+v, %v", server, err)
	}
}

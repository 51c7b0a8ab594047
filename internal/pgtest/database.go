package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
)

// counter makes names unique within the process; the process's number makes them unique on the server.
var counter atomic.Int64

func unique(prefix string) string {
	return fmt.Sprintf("%s_%d_%d", prefix, os.Getpid(), counter.Add(1))
}

// Database returns the connection string, as superuser, of a fresh empty database on the shared
// server. It is dropped, whoever is still connected, when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	return DatabaseFrom(t, "template0")
}

// DatabaseFrom is Database with a copy of a template in it; see Template.
func DatabaseFrom(t testing.TB, template string) string {
	t.Helper()
	server, name := shared(t), unique("test")
	create(t, server, name, template)
	t.Cleanup(func() {
		Exec(t, server.URL("postgres"), "DROP DATABASE IF EXISTS "+pg.Ident(name)+" WITH (FORCE)")
	})
	return server.URL(name)
}

// DatabaseOn is Database on a server of the test's own, with which it goes; see Private.
func DatabaseOn(t testing.TB, server *devpg.Server) string {
	t.Helper()
	name := unique("test")
	create(t, server, name, "template0")
	return server.URL(name)
}

func create(t testing.TB, server *devpg.Server, name, template string) {
	t.Helper()
	// Copying files takes less time than logging them, for small templates as for large ones.
	Exec(t, server.URL("postgres"), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", pg.Ident(name), pg.Ident(template)))
}

// Template returns the name of a template database for DatabaseFrom. The first test, of whatever
// process, that asks for the name makes it with build; the others wait and share it. So a name must
// stand for one content. build leaves no connection open.
func Template(t testing.TB, name string, build func(url string) error) string {
	t.Helper()
	server := shared(t)
	template := "template_" + name
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := connect(ctx, t, server.URL("postgres"))
	defer conn.Close(context.WithoutCancel(ctx))
	// The lock ends with the session, however this process ends.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", template); err != nil {
		t.Fatalf("pgtest: wait for template %s: %v", name, err)
	}
	var made bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", template).Scan(&made); err != nil {
		t.Fatalf("pgtest: look for template %s: %v", name, err)
	}
	if made {
		return template
	}
	unfinished := template + "_unfinished"
	statements := func(all ...string) {
		t.Helper()
		for _, sql := range all {
			if _, err := conn.Exec(ctx, sql); err != nil {
				t.Fatalf("pgtest: make template %s: %s: %v", name, sql, err)
			}
		}
	}
	statements("DROP DATABASE IF EXISTS "+pg.Ident(unfinished)+" WITH (FORCE)", "CREATE DATABASE "+pg.Ident(unfinished)+" TEMPLATE template0 STRATEGY file_copy")
	if err := build(server.URL(unfinished)); err != nil {
		t.Fatalf("pgtest: make template %s: %v", name, err)
	}
	// Without connections no autovacuum is in the way of a copy, either.
	statements("ALTER DATABASE "+pg.Ident(unfinished)+" ALLOW_CONNECTIONS false", "ALTER DATABASE "+pg.Ident(unfinished)+" RENAME TO "+pg.Ident(template))
	return template
}

// Role makes a role that may log in and do nothing else, and returns the connection string of the
// same database as that role. The statements are run as superuser first, {role} standing for
// the role's quoted name: "GRANT USAGE ON SCHEMA public TO {role}". When the test ends, what the role owns in
// that database is dropped and so is the role; that it still owns something elsewhere is an error.
func Role(t testing.TB, databaseURL string, statements ...string) string {
	t.Helper()
	name := unique("role")
	Exec(t, databaseURL, "CREATE ROLE "+pg.Ident(name)+" LOGIN")
	t.Cleanup(func() {
		Exec(t, databaseURL,
			"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = "+pg.Literal(name),
			"DROP OWNED BY "+pg.Ident(name)+" CASCADE",
			"DROP ROLE "+pg.Ident(name))
	})
	for _, sql := range statements {
		Exec(t, databaseURL, strings.ReplaceAll(sql, "{role}", pg.Ident(name)))
	}
	return As(t, databaseURL, name, "")
}

// As returns the connection string with another user and password (empty: none).
func As(t testing.TB, databaseURL, user, password string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	u.User = url.User(user)
	if password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Exec runs statements as they are, each in a transaction of its own, over a connection of its own.
func Exec(t testing.TB, databaseURL string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := connect(ctx, t, databaseURL)
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("pgtest: %s: %v", sql, err)
		}
	}
	// Closing does not wait for the server's process to end, which is when it would count what it wrote.
	if _, err := conn.PgConn().Exec(ctx, "SELECT pg_catalog.pg_stat_force_next_flush()").ReadAll(); err != nil {
		t.Fatalf("pgtest: count what was written: %v", err)
	}
}

// Eventually waits until the query's single boolean is true: for an event that the database shows.
// It asks again after some milliseconds, fewer at first, and gives up after half a minute.
func Eventually(t testing.TB, databaseURL, query string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn := connect(ctx, t, databaseURL)
	defer conn.Close(context.WithoutCancel(ctx))
	for pause := 5 * time.Millisecond; ; pause = min(pause*3/2, 50*time.Millisecond) {
		var happened bool
		if err := conn.QueryRow(ctx, query, args...).Scan(&happened); err != nil {
			t.Fatalf("pgtest: wait until %s: %v", query, err)
		}
		if happened {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("pgtest: did not come true in 30 s: %s", query)
		case <-time.After(pause):
		}
	}
}

func connect(ctx context.Context, t testing.TB, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return conn
}

func settingsOf(t testing.TB, settings []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			t.Fatalf("pgtest: setting %s has no value", strconv.Quote(setting))
		}
		all[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return all
}

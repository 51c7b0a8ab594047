package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

func fill(url string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE mark AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 20000) g")
	return err
}

func TestTemplateIsBuiltOnceAndCloned(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			url := DatabaseFrom(t, Template(t, "mark", fill))
			Exec(t, url, "DELETE FROM mark WHERE a > 10")
			Eventually(t, url, "SELECT count(*) = 10 FROM mark")
		})
	}
}

func TestRoleIsUnprivileged(t *testing.T) {
	t.Parallel()
	url := Database(t)
	Exec(t, url, "CREATE TABLE closed (a int)", "CREATE TABLE open (a int)")
	role := Role(t, url, "GRANT SELECT ON open TO {role}")
	Eventually(t, role, "SELECT has_table_privilege('open', 'SELECT') AND NOT has_table_privilege('closed', 'SELECT') AND NOT (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user)")
}

func TestDatabaseIsDroppedUnderOpenConnections(t *testing.T) {
	t.Parallel()
	admin := Database(t)
	var name string
	t.Run("user", func(t *testing.T) {
		url := Database(t)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	Eventually(t, admin, "SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name)
}

func TestRolesPassword(t *testing.T) {
	t.Parallel()
	server := PrivateWithPassword(t, "s3cret")
	url := DatabaseOn(t, server)
	Exec(t, url, "CREATE ROLE app LOGIN PASSWORD 'other'")
	Eventually(t, As(t, url, "app", "other"), "SELECT current_user = 'app'")
	if conn, err := pgx.Connect(t.Context(), As(t, url, "app", "s3cret")); err == nil {
		conn.Close(context.WithoutCancel(t.Context()))
		t.Error("the wrong password was let in")
	}
	standby := Standby(t, server)
	Eventually(t, standby.URL("postgres"), "SELECT pg_is_in_recovery()")
}

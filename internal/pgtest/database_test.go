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

package cli_test

import (
	"bytes"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/pgtest"
)

var updateRole = flag.Bool("update-role", false, "write deploy/role.sql anew")

// deploy/role.sql is what `pgtender grants` prints for the shipped atlas.hcl, on a database that a role of its own was given.
func TestRoleSQL(t *testing.T) {
	t.Parallel()
	repo := repository(t)
	database := pgtest.Database(t)
	pgtest.Exec(t, database, "CREATE SCHEMA IF NOT EXISTS public")
	owner := pgtest.Role(t, database, "ALTER ROLE {role} CREATEDB", "GRANT CREATE ON SCHEMA public TO {role}", "GRANT CREATE ON DATABASE "+quotedName(t, database)+" TO {role}")
	if code, out := inProcess(t.Context(), "--config", filepath.Join(repo, "atlas.hcl"), "--url", owner, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	var stdout, stderr bytes.Buffer
	if code := cli.Main(t.Context(), []string{"--config", filepath.Join(repo, "atlas.hcl"), "--url", database, "grants", "--role", "tender"}, nil, &stdout, &stderr,
		func(string) string { return "" }); code != 0 {
		t.Fatalf("grants: %d %s", code, &stderr)
	}
	parsed, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(filepath.Join(repo, "atlas.hcl"), "atlas.hcl", strings.Trim(quotedName(t, database), `"`), "registry", parsed.User.Username(), "registry_owner").Replace(stdout.String())
	got = regexp.MustCompile(`atlas\.hcl:\d+:\d+`).ReplaceAllString(got, "atlas.hcl") // places move with each edit of the file
	got = "-- Made by: pgtender grants --role tender. The schema was applied by registry_owner; put in your own names, or run that command on your\n" +
		"-- own database. Tested: go test ./internal/cli -run RoleSQL (-update-role writes it anew).\n" + got
	file := filepath.Join(repo, "deploy", "role.sql")
	if *updateRole {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), got); diff != "" {
		t.Errorf("deploy/role.sql is not what pgtender grants prints (-written +now); run this test with -update-role:\n%s", diff)
	}
}

// quotedName is the name of the database of a connection string, as SQL takes it.
func quotedName(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return `"` + strings.TrimPrefix(u.Path, "/") + `"`
}

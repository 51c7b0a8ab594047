package apply_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/schema/apply"
)

// What a role lacks is said, with what gives it, before anything is written; given that, the plan runs.
func TestMissingRightsAreNamedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, old, new string
		owner          string // of what there is; "": the superuser
		lacks          string
		grant          []string
	}{
		{"create in the schema", "", "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", "",
			"may not create objects in schema public", []string{`GRANT USAGE, CREATE ON SCHEMA "public" TO {role};`}},
		{"another role's table", "GRANT CREATE ON SCHEMA public TO {role}; CREATE TABLE t (a int); ALTER TABLE t OWNER TO {owner}; CREATE VIEW v AS SELECT a FROM t; ALTER VIEW v OWNER TO {owner}",
			"CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT a FROM t; COMMENT ON COLUMN v.a IS 'x'", "owner",
			"does not own public.t, public.v ({owner} does)", []string{"GRANT {owner} TO {role}; -- or connect as the owner, {owner}"}},
		{"a superuser's table", "GRANT CREATE ON SCHEMA public TO {role}; CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int)", "",
			`does not own public.t ("postgres" does)`, []string{`ALTER TABLE "public"."t" OWNER TO {role}; -- or connect as "postgres", a superuser, who owns it`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, "", c.new)
			pgtest.Exec(t, d.url, "ALTER SCHEMA public OWNER TO postgres")
			name := func(u string) string {
				parsed, err := url.Parse(u)
				if err != nil {
					t.Fatal(err)
				}
				return pg.Ident(parsed.User.Username())
			}
			owner := name(pgtest.Role(t, d.url))
			role := pgtest.Role(t, d.url, "GRANT CREATE ON DATABASE "+pg.Ident(value[string](t, d.conn, "SELECT current_database()"))+" TO {role}")
			fill := strings.NewReplacer("{role}", name(role), "{owner}", owner).Replace
			exec(t, d.conn, fill(c.old))
			o := d.options(d.plan(t))
			o.URL = role
			before := d.snapshot(t).Fingerprint()
			_, err := apply.Run(t.Context(), o)
			var lacks *state.PrivilegeError
			if !errors.As(err, &lacks) || !strings.Contains(lacks.Lacks, fill(c.lacks)) || lacks.Grant != fill(strings.Join(c.grant, "\n")) {
				t.Fatalf("%v", err)
			}
			if d.snapshot(t).Fingerprint() != before || value[bool](t, d.conn, "SELECT to_regnamespace('pgtender') IS NOT NULL") {
				t.Error("something was changed")
			}
			exec(t, d.conn, lacks.Grant)
			if _, err := apply.Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			d.mustEqual(t)
		})
	}
}

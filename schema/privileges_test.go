package schema_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/plan"
)

// What a declared role has as the owner it need not be given. Objects of whose privileges nothing is declared are listed, not touched.
func TestPrivilegesOfTheOwner(t *testing.T) {
	t.Parallel()
	target := pgtest.Database(t)
	owner, err := url.Parse(pgtest.Role(t, target, "GRANT CREATE, USAGE ON SCHEMA public TO {role}"))
	if err != nil {
		t.Fatal(err)
	}
	role := owner.User.Username()
	pgtest.Exec(t, owner.String(), "CREATE TABLE t (id int)", "CREATE TABLE u (id int)", "GRANT SELECT ON u TO pg_monitor", "REVOKE INSERT ON t FROM "+role)
	e := engineFor(t, target, `CREATE TABLE t (id int); CREATE TABLE u (id int);
		GRANT SELECT, UPDATE (id) ON t TO `+role+`; GRANT DELETE ON t TO pg_monitor`, nil)
	p := mustPlan(t, e)
	if len(p.Statements) != 1 || p.Statements[0].SQL != `GRANT DELETE ON TABLE "public"."t" TO pg_monitor` {
		t.Fatalf("not one GRANT: %+v", p.Statements)
	}
	listed := ""
	for _, u := range p.Unmanaged {
		listed += u.Kind + " " + u.Name + ";"
	}
	if !strings.Contains(listed, "privileges public.u;") || strings.Contains(listed, "public.t;") {
		t.Errorf("not managed: %s", listed)
	}
	if _, err := e.Apply(t.Context(), p, schema.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	e = engineFor(t, target, `CREATE TABLE t (id int); CREATE TABLE u (id int); GRANT INSERT ON t TO `+role, nil)
	p = mustPlan(t, e)
	if _, err := e.Apply(t.Context(), p, schema.ApplyOptions{AllowHazards: []plan.HazardName{plan.BreaksCode}}); err != nil {
		t.Errorf("a right that the owner had lost: %v", err)
	}
}

// A privilege that somebody else has passed on can only be taken back by them; a role that the target's server lacks is named.
func TestPrivilegesThatCannotBePlanned(t *testing.T) {
	t.Parallel()
	target := pgtest.Database(t)
	other := pgtest.Role(t, target, "CREATE TABLE t (id int)", "GRANT SELECT ON t TO {role} WITH GRANT OPTION")
	pgtest.Exec(t, other, "GRANT SELECT ON public.t TO pg_monitor")
	_, err := engineFor(t, target, "CREATE TABLE t (id int); REVOKE ALL ON t FROM PUBLIC", nil).Plan(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pg_monitor has SELECT GRANTED BY role_") {
		t.Errorf("not refused: %v", err)
	}
}

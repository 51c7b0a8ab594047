package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/schema/catalog"
)

// needs are the rights without which a plan is sure to fail. Others are left to the server: it knows best.
type needs struct {
	create   []string // schemas that something is made in
	own      []string // relations that are altered, commented, indexed or dropped: schema, name, schema, name …
	database bool     // a schema is made
}

func (r *runner) needs() needs {
	var n needs
	schemas, relations := map[string]bool{}, map[[2]string]bool{}
	for _, s := range r.plan.Statements {
		k, made := s.Object, strings.HasPrefix(s.SQL, "CREATE ")
		switch k.Kind {
		case catalog.Schema:
			n.database = n.database || made
		case catalog.Extension:
		case catalog.Trigger:
			if !made { // its table's TRIGGER privilege is enough
				relations[[2]string{k.Schema, k.Table}] = true
			}
		case catalog.Policy, catalog.Rule, catalog.Column, catalog.Constraint:
			relations[[2]string{k.Schema, k.Table}] = true
		case catalog.Index:
			schemas[k.Schema] = schemas[k.Schema] || made
			relations[[2]string{k.Schema, k.Table}] = true
		default:
			schemas[k.Schema] = schemas[k.Schema] || made
			relations[[2]string{k.Schema, k.Name}] = true
		}
	}
	for name, made := range schemas {
		if made {
			n.create = append(n.create, name)
		}
	}
	for rel := range relations {
		n.own = append(n.own, rel[0], rel[1])
	}
	return n
}

const rightsSQL = `
SELECT 'database' AS what, current_database()::text, '', false, '' WHERE $3 AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT 'schema', nspname, '', false, '' FROM pg_namespace
WHERE nspname = ANY ($1) AND NOT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))
UNION ALL
SELECT 'relation', n.nspname, c.relname, o.rolsuper, o.rolname
FROM (SELECT w[i] AS nspname, w[i + 1] AS relname FROM (SELECT $2::text[] AS w) a, generate_series(1, cardinality(w), 2) i) wanted
JOIN pg_namespace n USING (nspname) JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.relname
JOIN pg_roles o ON o.oid = c.relowner
WHERE NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2, 3`

// rights refuses a plan that this role cannot run before anything is written, and says what gives it the rights.
func (r *runner) rights(ctx context.Context, user string) error {
	n := r.needs()
	rows, err := r.conn.Query(ctx, rightsSQL, n.create, n.own, n.database)
	if err != nil {
		return fmt.Errorf("look at the role's rights: %w", err)
	}
	var lacks, grants []string
	owned := map[string][]string{} // by owner
	role := pg.Ident(user)
	var what, name, relation, owner string
	var super bool
	_, err = pgx.ForEachRow(rows, []any{&what, &name, &relation, &super, &owner}, func() error {
		switch {
		case what == "database":
			lacks = append(lacks, "may not create schemas in database "+pg.Ident(name))
			grants = append(grants, fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s;", pg.Ident(name), role))
		case what == "schema":
			lacks = append(lacks, "may not create objects in schema "+name)
			grants = append(grants, fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s;", pg.Ident(name), role))
		case super: // a member of a superuser is one
			grants = append(grants, fmt.Sprintf("ALTER TABLE %s OWNER TO %s; -- or connect as %s, a superuser, who owns it", pg.Ident(name, relation), role, pg.Ident(owner)))
			owned[owner] = append(owned[owner], name+"."+relation)
		default:
			if owned[owner] == nil {
				grants = append(grants, fmt.Sprintf("GRANT %s TO %s; -- or connect as the owner, %[1]s", pg.Ident(owner), role))
			}
			owned[owner] = append(owned[owner], name+"."+relation)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look at the role's rights: %w", err)
	}
	if len(grants) == 0 {
		return nil
	}
	var owners []string
	for owner := range owned {
		owners = append(owners, owner)
	}
	slices.Sort(owners)
	for _, owner := range owners {
		lacks = append(lacks, fmt.Sprintf("does not own %s (%s does)", strings.Join(owned[owner], ", "), pg.Ident(owner)))
	}
	return &state.PrivilegeError{Lacks: fmt.Sprintf("role %s %s", role, strings.Join(lacks, ", ")), Grant: strings.Join(grants, "\n")}
}

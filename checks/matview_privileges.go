package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// matviewPrivileges tells whether pgtender's role may refresh each view of a policy. Source: has_table_privilege (MAINTAIN),
// has_schema_privilege, has_database_privilege of the owner (TEMP, for a concurrent refresh). Unit: number of grants missing. Critical
// above 0. Remedy: the grants.
func matviewPrivileges(env *config.Env) Check {
	return Check{Name: "matview_privileges", Group: "views", Unit: "grants", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			schemas, names := viewNames(env)
			rows, err := tx.Query(ctx, `
				SELECT c.oid IS NOT NULL, current_user, current_database(), coalesce(pg_get_userbyid(c.relowner), ''),
				       coalesce(has_table_privilege(c.oid, 'MAINTAIN'), true), coalesce(has_schema_privilege(n.oid, 'USAGE'), true),
				       coalesce(has_database_privilege(c.relowner, current_database(), 'TEMP'), true)
				  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
				  LEFT JOIN pg_namespace n ON n.nspname = w.nspname
				  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
				 ORDER BY i`, schemas, names)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var exists, maintain, usage, temp bool
			var user, database, owner string
			i := -1
			_, err = pgx.ForEachRow(rows, []any{&exists, &user, &database, &owner, &maintain, &usage, &temp}, func() error {
				i++
				if !exists {
					return nil
				}
				policy := env.Views()[i]
				var grants []string
				if !usage {
					grants = append(grants, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(policy.View.Schema), pg.Ident(user)))
				}
				if !maintain {
					grants = append(grants, fmt.Sprintf("GRANT MAINTAIN ON TABLE %s TO %s;", quoted(policy.View), pg.Ident(user)))
				}
				if !temp && policy.Concurrently {
					grants = append(grants, fmt.Sprintf("GRANT TEMPORARY ON DATABASE %s TO %s;", pg.Ident(database), pg.Ident(owner)))
				}
				f := Finding{Object: policy.View.String(), Value: float64(len(grants)), Message: "may be refreshed"}
				if len(grants) > 0 {
					f.Status, f.Message, f.Remedy = Critical, "it cannot be refreshed: privileges are missing", strings.Join(grants, " ")
				}
				out = append(out, f)
				return nil
			})
			return out, err
		}}
}

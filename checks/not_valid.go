package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// notValid names the constraints that hold for new rows but were never verified for the old ones. Those that are NOT ENFORCED by
// declaration do not count. Source: pg_constraint.convalidated. Unit: 1 each. Warning for each. Remedy: validate it, which
// lets reads and writes go on.
func notValid(env *config.Env) Check {
	return Check{Name: "not_valid", Group: "schema", Unit: "constraints", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, `
				SELECT n.nspname, t.relname, c.conname
				  FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
				 WHERE NOT c.convalidated AND c.conenforced AND n.nspname = ANY ($1)
				   AND c.conislocal AND c.conparentid = 0
				 ORDER BY 1, 2, 3`, env.Schemas)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var schema, table, name string
			_, err = pgx.ForEachRow(rows, []any{&schema, &table, &name}, func() error {
				if _, excluded := env.Excluded(config.Table{Schema: schema, Name: table}); excluded {
					return nil
				}
				out = append(out, Finding{Object: schema + "." + table + "." + name, Status: Warning, Value: 1,
					Message: "old rows were never checked against it",
					Remedy:  fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s;", pg.Ident(schema, table), pg.Ident(name))})
				return nil
			})
			if err == nil && len(out) == 0 {
				out = []Finding{{Message: "every constraint is validated"}}
			}
			return capped(out), err
		}}
}

package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// notEnforced names the constraints that hold for no row, as NOT ENFORCED declares. Source: pg_constraint.conenforced, which every role
// may read. Unit: constraints. It is never anything but ok, unless the file gives it thresholds. Remedy: enforce it; of a
// CHECK PostgreSQL 18 cannot change that, so it is made anew.
func notEnforced(env *config.Env, l limits) Check {
	return Check{Name: "not_enforced", Group: "schema", Unit: "constraints", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			names, remedy, err := listed(ctx, tx, env, `
				SELECT n.nspname, t.relname, c.conname, format(
				         CASE c.contype WHEN 'f' THEN 'ALTER TABLE %1$I.%2$I ALTER CONSTRAINT %3$I ENFORCED;'
				         ELSE 'ALTER TABLE %1$I.%2$I DROP CONSTRAINT %3$I, ADD CONSTRAINT %3$I CHECK (…);' END, n.nspname, t.relname, c.conname)
				  FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
				 WHERE NOT c.conenforced AND n.nspname = ANY ($1) AND c.conislocal AND c.conparentid = 0
				 ORDER BY 1, 2, 3`)
			return tally(names, l, "constraint| NOT ENFORCED", "every constraint is enforced", remedy), err
		}}
}

package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// disabledTrigger names the triggers that do not fire, and the foreign keys that are not checked because their triggers do not. Source:
// pg_trigger.tgenabled, which every role may read. Unit: triggers. It is never anything but ok, unless the file gives it thresholds. Remedy:
// enable it; what came meanwhile it has not seen.
func disabledTrigger(env *config.Env, l limits) Check {
	return Check{Name: "disabled_trigger", Group: "schema", Unit: "triggers", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			names, remedy, err := listed(ctx, tx, env, `
				SELECT DISTINCT n.nspname, t.relname, CASE WHEN g.tgisinternal THEN 'that of constraint ' || coalesce(c.conname, g.tgname) ELSE g.tgname END,
				       format('ALTER TABLE %I.%I ENABLE TRIGGER %s;  -- it has not seen what came meanwhile', n.nspname, t.relname,
				              CASE WHEN g.tgisinternal THEN 'ALL' ELSE quote_ident(g.tgname) END)
				  FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_namespace n ON n.oid = t.relnamespace
				  LEFT JOIN pg_constraint c ON c.oid = g.tgconstraint
				 WHERE g.tgenabled = 'D' AND g.tgparentid = 0 AND n.nspname = ANY ($1)
				 ORDER BY 1, 2, 3, 4`)
			return tally(names, l, "disabled trigger", "no trigger is disabled", remedy), err
		}}
}

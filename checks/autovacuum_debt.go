package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// The functions behind the pg_stat views are asked, not the views: they cost a tenth. None of them takes a lock.
const autovacuumDebtSQL = `
SELECT n.nspname, c.relname, d.dead::float8, d.dead / lim.most, coalesce(o.enabled, true) AND current_setting('autovacuum')::bool
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT pg_stat_get_dead_tuples(c.oid) AS dead) AS d
 CROSS JOIN LATERAL (
   SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS base,
          max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS scale,
          max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold')::float8 AS most,
          bool_and(option_value::bool) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled
     FROM pg_options_to_table(c.reloptions)) AS o
 CROSS JOIN LATERAL (
   SELECT greatest(least(coalesce(o.base, current_setting('autovacuum_vacuum_threshold')::float8)
                         + coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::float8) * greatest(c.reltuples, 0),
                         nullif(coalesce(nullif(o.most, -2), current_setting('autovacuum_vacuum_max_threshold')::float8), -1)), 1) AS most) AS lim
 WHERE c.relkind IN ('r', 'm') AND d.dead > 0 AND n.nspname = ANY ($1)
 ORDER BY 4 DESC, 1, 2`

// autovacuumDebt tells which tables have more dead rows than should have set autovacuum off: it does not come round, is off, or removes
// nothing. Source: pg_stat_get_dead_tuples and the thresholds in reloptions and pg_settings, which every role may read. Unit: multiple of
// the table's threshold. Warning from 2. Remedy: VACUUM, and find what holds autovacuum up.
func autovacuumDebt(env *config.Env, l limits) Check {
	return Check{Name: "autovacuum_debt", Group: "vacuum", Unit: "multiple", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, autovacuumDebtSQL, env.Schemas)
			if err != nil {
				return nil, err
			}
			var out []Finding
			most := 0.0
			var t config.Table
			var dead, debt float64
			var on bool
			_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &dead, &debt, &on}, func() error {
				if _, excluded := env.Excluded(t); excluded {
					return nil
				}
				most = max(most, debt)
				status := judge(debt, l)
				if status == OK {
					return nil
				}
				f := Finding{Object: t.String(), Status: status, Value: debt, Remedy: "VACUUM (VERBOSE, ANALYZE) " + quoted(t) + ";  -- if it removes nothing, look at xmin_horizon",
					Message: fmt.Sprintf("about %s dead rows, %.1f times what should set autovacuum off", thousands(dead), debt)}
				if !on {
					f.Message += "; autovacuum is off for it"
					f.Remedy = "ALTER TABLE " + quoted(t) + " RESET (autovacuum_enabled);  -- and autovacuum = on in the settings"
				}
				out = append(out, f)
				return nil
			})
			if err == nil && len(out) == 0 {
				out = []Finding{{Value: most, Message: "autovacuum keeps up"}}
			}
			return capped(out), err
		}}
}

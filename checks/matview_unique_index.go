package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// matviewUniqueIndex tells whether each view that is to be refreshed concurrently has a unique index that allows it: valid, on
// plain columns, without WHERE. Source: pg_index. Unit: number of such indexes. Warning at 0. Remedy: such an index.
func matviewUniqueIndex(env *config.Env) Check {
	return Check{Name: "matview_unique_index", Group: "views", Unit: "indexes", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			schemas, names := viewNames(env)
			rows, err := tx.Query(ctx, `
				SELECT c.oid IS NOT NULL, count(x.indexrelid)
				  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
				  LEFT JOIN pg_namespace n ON n.nspname = w.nspname
				  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
				  LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisunique AND x.indimmediate AND x.indisvalid
				                      AND x.indpred IS NULL AND NOT 0 = ANY (x.indkey)
				 GROUP BY i, c.oid ORDER BY i`, schemas, names)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var exists bool
			var n int
			i := -1
			_, err = pgx.ForEachRow(rows, []any{&exists, &n}, func() error {
				i++
				policy := env.Views()[i]
				if !exists || !policy.Concurrently { // that it is missing, matview_populated says
					return nil
				}
				f := Finding{Object: policy.View.String(), Value: float64(n), Message: "can be refreshed concurrently"}
				if n == 0 {
					f.Status = Warning
					f.Message = "it has no unique index that a concurrent refresh can use, so its refresh will fail"
					f.Remedy = "CREATE UNIQUE INDEX ON " + quoted(policy.View) + " (…);  -- the columns that tell its rows apart; see: " + jobCommand("refresh", policy.View.String()) + " --dry-run"
				}
				out = append(out, f)
				return nil
			})
			return out, err
		}}
}

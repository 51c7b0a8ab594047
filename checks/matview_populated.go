package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// matviewPopulated tells whether each view of a refresh policy is there and can be read: a view never populated makes every
// query of it fail. Source: pg_class.relispopulated. Unit: 1 populated, 0 not. Critical at 0. Remedy: run its refresh job.
func matviewPopulated(env *config.Env) Check {
	return Check{Name: "matview_populated", Group: "views", Unit: "boolean", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			schemas, names := viewNames(env)
			rows, err := tx.Query(ctx, `
				SELECT c.oid IS NOT NULL, coalesce(c.relispopulated, false)
				  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
				  LEFT JOIN pg_namespace n ON n.nspname = w.nspname
				  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
				 ORDER BY i`, schemas, names)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var exists, populated bool
			_, err = pgx.ForEachRow(rows, []any{&exists, &populated}, func() error {
				view := env.Views()[len(out)].View
				f := Finding{Object: view.String(), Value: 1, Message: "populated"}
				switch {
				case !exists:
					f.Status, f.Value = Critical, 0
					f.Message, f.Remedy = "there is no such materialised view", "pgtender apply"
				case !populated:
					f.Status, f.Value = Critical, 0
					f.Message = "it was never populated: every query of it fails"
					f.Remedy = jobCommand("refresh", view.String())
				}
				out = append(out, f)
				return nil
			})
			return out, err
		}}
}

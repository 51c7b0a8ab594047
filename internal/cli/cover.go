package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

// cover finds the views that refresh "*" keeps: those declared, which may not be there yet, and those that are there. Without
// such a block it does nothing.
func cover(ctx context.Context, q pg.Querier, env *config.Env, declared *desired.Result) error {
	if env.Every == nil {
		return nil
	}
	schemas := slices.Clone(env.Schemas)
	var views []config.Table
	if declared != nil {
		for _, o := range declared.Snapshot.Objects {
			if o.Key.Kind == catalog.MatView {
				views = append(views, config.Table{Schema: o.Key.Schema, Name: o.Key.Name})
				schemas = append(schemas, o.Key.Schema)
			}
		}
	}
	rows, err := q.Query(ctx, `
		SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		 WHERE c.relkind = 'm' AND n.nspname = ANY ($1) ORDER BY 1, 2`, schemas)
	if err == nil {
		var t config.Table
		_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name}, func() error {
			views = append(views, t)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("look for the materialised views of refresh \"*\": %w", err)
	}
	env.Cover(sortTables(views))
	return nil
}

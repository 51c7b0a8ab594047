package checks

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// listed reads the rows (schema, table, name, remedy) of a catalog query over the managed schemas, without the tables that are excluded. It
// returns names such as "orders_pkey of public.orders", or the table's alone where the name is empty, and the first remedy.
func listed(ctx context.Context, tx pgx.Tx, env *config.Env, sql string) (names []string, remedy string, err error) {
	rows, err := tx.Query(ctx, sql, env.Schemas)
	if err != nil {
		return nil, "", err
	}
	var t config.Table
	var name, cure string
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &name, &cure}, func() error {
		if _, excluded := env.Excluded(t); excluded {
			return nil
		}
		if len(names) == 0 {
			remedy = cure
		}
		if name != "" {
			name += " of "
		}
		names = append(names, name+t.String())
		return nil
	})
	return names, remedy, err
}

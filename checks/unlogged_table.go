package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// unloggedTable names the tables whose rows no crash, replica or backup of WAL keeps. Source: pg_class.relpersistence, which every role may
// read. Unit: tables. It is never anything but ok, unless the file gives it thresholds. Remedy: SET LOGGED, which writes the table anew.
func unloggedTable(env *config.Env, l limits) Check {
	return Check{Name: "unlogged_table", Group: "schema", Unit: "tables", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			names, remedy, err := listed(ctx, tx, env, `
				SELECT n.nspname, t.relname, '', format('ALTER TABLE %I.%I SET LOGGED;  -- locks and writes the whole table', n.nspname, t.relname)
				  FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
				 WHERE t.relpersistence = 'u' AND t.relkind = 'r' AND n.nspname = ANY ($1)
				 ORDER BY 1, 2`)
			return tally(names, l, "unlogged table", "every table is logged", remedy), err
		}}
}

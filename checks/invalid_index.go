package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Without pg_read_all_stats the progress of others is hidden; the lock that CREATE INDEX CONCURRENTLY holds on the table is not.
const invalidIndexSQL = `
SELECT n.nspname, t.relname, ic.relname, ic.relkind = 'I'
  FROM pg_index i
  JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
 WHERE NOT i.indisvalid AND n.nspname = ANY ($1)
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.datname = current_database() AND p.relid = i.indrelid)
   AND (pg_has_role('pg_read_all_stats', 'USAGE')
        OR NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                          AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted))
 ORDER BY 1, 3`

// invalidIndex names the indexes that the planner does not use and writes still maintain, or that are incomplete: what a failed
// CREATE or REINDEX INDEX CONCURRENTLY leaves, and indexes of partitioned tables that lack a partition's. Those being built now
// do not count. Source: pg_index.indisvalid. Unit: 1 each. Warning for each. Remedy: make it again, or drop it.
func invalidIndex(env *config.Env) Check {
	return Check{Name: "invalid_index", Group: "schema", Unit: "indexes", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, invalidIndexSQL, env.Schemas)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var schema, table, index string
			var parent bool
			_, err = pgx.ForEachRow(rows, []any{&schema, &table, &index, &parent}, func() error {
				if _, excluded := env.Excluded(config.Table{Schema: schema, Name: table}); excluded {
					return nil
				}
				f := Finding{Object: schema + "." + index, Status: Warning, Value: 1,
					Message: "it is invalid, so queries of " + table + " do not use it, and nobody is building it now",
					Remedy:  "REINDEX INDEX CONCURRENTLY " + pg.Ident(schema, index) + ";"}
				if parent {
					f.Message = "the index of partitioned table " + table + " is invalid: not every partition has its part of it"
					f.Remedy = "pgtender plan"
				}
				out = append(out, f)
				return nil
			})
			if err == nil && len(out) == 0 {
				out = []Finding{{Message: "every index is valid"}}
			}
			return capped(out), err
		}}
}

package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Of the collations only those that a column or an index uses are held against the operating system's.
const collationVersionSQL = `
SELECT what, cure FROM (
  SELECT 'database ' || datname AS what,
         format('REINDEX DATABASE CONCURRENTLY %1$I; ALTER DATABASE %1$I REFRESH COLLATION VERSION;', datname) AS cure
    FROM pg_database
   WHERE datallowconn AND datcollversion IS NOT NULL AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
  UNION ALL
  SELECT 'collation ' || format('%I.%I', n.nspname, c.collname),
         format('ALTER COLLATION %I.%I REFRESH VERSION;', n.nspname, c.collname)
    FROM (SELECT DISTINCT attcollation AS oid FROM pg_attribute WHERE attcollation <> 0 AND attnum > 0) AS used
    JOIN pg_collation c ON c.oid = used.oid
    JOIN pg_namespace n ON n.oid = c.collnamespace
   WHERE c.collversion IS NOT NULL AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
) AS changed ORDER BY 1`

// collationVersion names the databases, and the collations in use, whose sort order was another when their indexes were built: an upgrade
// of the operating system changed it, so indexes on text may miss rows and let doubles in. Source: pg_database, pg_collation and the
// versions in force, which every role may read. Unit: databases and collations. Warning from 1. Remedy: rebuild the indexes, then say so.
func collationVersion(l limits) Check {
	return Check{Name: "collation_version", Group: "server", Unit: "collations", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, collationVersionSQL)
			if err != nil {
				return nil, err
			}
			var names []string
			var name, cure, remedy string
			_, err = pgx.ForEachRow(rows, []any{&name, &cure}, func() error {
				if names = append(names, name); remedy == "" {
					remedy = "REINDEX the indexes on text first, then: " + cure
				}
				return nil
			})
			return tally(names, l, "collation| changed by the operating system", "sort orders are those that the indexes were built with", remedy), err
		}}
}

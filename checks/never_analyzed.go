package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// analyzeRows is from how many rows a table without statistics leads the planner astray.
const analyzeRows = 1000

// A restart after a crash empties the statistics of use (rows, times of ANALYZE), but neither reltuples, which is -1 until the first VACUUM,
// ANALYZE or CREATE INDEX, nor what ANALYZE has found, which is asked where no ANALYZE is remembered. What lies in a
// partitioned table is found by pg_inherits: pg_partition_tree would wait for a locked partition.
const neverAnalyzedSQL = `
WITH RECURSIVE tables AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples, greatest(pg_stat_get_live_tuples(c.oid), c.reltuples) AS live,
         pg_stat_get_last_analyze_time(c.oid) IS NULL AND pg_stat_get_last_autoanalyze_time(c.oid) IS NULL AS never,
         has_any_column_privilege(c.oid, 'SELECT') AS seen
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname = ANY ($1)
), below AS (
  SELECT oid AS root, oid AS child FROM tables WHERE relkind = 'p' AND reltuples < 0
  UNION ALL
  SELECT b.root, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.child
), filled AS (
  SELECT b.root, sum(greatest(pg_stat_get_live_tuples(b.child), k.reltuples, 0)) AS live FROM below b JOIN pg_class k ON k.oid = b.child GROUP BY b.root
)
SELECT t.nspname, t.relname, t.relkind = 'p', coalesce(f.live, t.live)::float8
  FROM tables t LEFT JOIN filled f ON f.root = t.oid
 WHERE coalesce(f.live, t.live) >= $2 AND
       (t.reltuples < 0 OR t.never AND t.seen AND NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = t.nspname AND s.tablename = t.relname))
 ORDER BY 4 DESC, 1, 2`

// neverAnalyzed names the tables with rows for which the planner has no statistics: it guesses. Of partitioned tables only ANALYZE by name
// makes any; autovacuum does not. Source: pg_class.reltuples, the
// times of ANALYZE, and pg_stats, which has the tables that this role may read; others without a time are believed to have statistics. After
// a crash nobody knows the rows of a table that was never vacuumed either: it is seen as it is written again. Unit: rows. Warning
// for each with 1,000 rows or more. Remedy: ANALYZE.
func neverAnalyzed(env *config.Env) Check {
	return Check{Name: "never_analyzed", Group: "vacuum", Unit: "rows", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, neverAnalyzedSQL, env.Schemas, analyzeRows)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var t config.Table
			var parent bool
			var live float64
			_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &parent, &live}, func() error {
				if _, excluded := env.Excluded(t); excluded {
					return nil
				}
				f := Finding{Object: t.String(), Status: Warning, Value: live, Remedy: "ANALYZE " + quoted(t) + ";",
					Message: fmt.Sprintf("it has about %s rows and no statistics: the planner guesses", thousands(live))}
				if parent {
					f.Message = fmt.Sprintf("the partitioned table has about %s rows and no statistics of its own, which autovacuum never makes", thousands(live))
				}
				out = append(out, f)
				return nil
			})
			if err == nil && len(out) == 0 {
				out = []Finding{{Message: "every table with rows has statistics"}}
			}
			return capped(out), err
		}}
}

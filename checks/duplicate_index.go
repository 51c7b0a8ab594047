package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// duplicateIndex names the indexes that another index of the same table repeats, column for column: writes maintain both, queries need one.
// One that serves a constraint, replication or uniqueness is never called needless. Those of partitions are their parents'. Source: pg_index,
// which every role may read; pg_get_indexdef would wait for a locked table. Unit: indexes. It is never anything but ok, unless the file gives
// it thresholds. Remedy: drop it.
func duplicateIndex(env *config.Env, l limits) Check {
	return Check{Name: "duplicate_index", Group: "schema", Unit: "indexes", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			names, remedy, err := listed(ctx, tx, env, `
				WITH idx AS MATERIALIZED (
				  SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisreplident, c.relname, c.relkind, n.nspname, t.relname AS of,
				         ROW(c.relam, i.indnkeyatts, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text,
				             coalesce(i.indexprs::text, ''), coalesce(i.indpred::text, '')) AS shape,
				         EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x', 'f')) AS serves
				    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
				   WHERE i.indisvalid AND NOT c.relispartition AND n.nspname = ANY ($1)
				)
				SELECT a.nspname, a.of, a.relname, min(format('DROP INDEX%s %I.%I;  -- %s is the same', CASE a.relkind WHEN 'I' THEN '' ELSE ' CONCURRENTLY' END, a.nspname, a.relname, b.relname))
				  FROM idx a JOIN idx b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.shape = a.shape
				 WHERE NOT a.serves AND NOT a.indisreplident AND (b.indisunique OR NOT a.indisunique)
				   AND (b.serves OR b.indisreplident OR b.indisunique AND NOT a.indisunique OR b.indexrelid < a.indexrelid)
				 GROUP BY a.nspname, a.of, a.relname
				 ORDER BY 1, 2, 3`)
			return tally(names, l, "index| repeated by another", "no index repeats another", remedy), err
		}}
}

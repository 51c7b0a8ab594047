package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// foreignKeyIndex names the foreign keys for which no index begins with the referencing columns, in any order: each delete and each
// change of a key in the parent reads the whole child. Source: pg_constraint, pg_index, which every role may read. Unit: foreign keys.
// It is never anything but ok, unless the file gives it thresholds. Remedy: an index.
func foreignKeyIndex(env *config.Env, l limits) Check {
	return Check{Name: "foreign_key_index", Group: "schema", Unit: "foreign keys", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			names, remedy, err := listed(ctx, tx, env, `
				SELECT n.nspname, t.relname, c.conname, format('CREATE INDEX%s ON %I.%I (%s);', CASE t.relkind WHEN 'p' THEN '' ELSE ' CONCURRENTLY' END, n.nspname, t.relname,
				         (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.i) FROM unnest(c.conkey) WITH ORDINALITY AS k (num, i)
				            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.num))
				  FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
				 WHERE c.contype = 'f' AND c.conparentid = 0 AND n.nspname = ANY ($1)
				   AND NOT EXISTS (SELECT FROM pg_index i
				                    WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
				                      AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
				 ORDER BY 1, 2, 3`)
			return tally(names, l, "foreign key| without an index", "every foreign key has an index", remedy), err
		}}
}

package refresh

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Looking for a key reads the whole view, so it is bounded in columns and in time.
const (
	keyColumns  = 8
	keyPairs    = 6 // of the first so many columns
	keyDeadline = "2s"
)

// noKey is the refusal of a concurrent refresh without a usable unique index; it names columns that would do.
func (r *refresher) noKey(ctx context.Context, tx pgx.Tx, v *view) error {
	problem := "it has no unique index that a concurrent refresh can use"
	if len(v.Unusable) > 0 {
		problem += "; these do not do: " + strings.Join(v.Unusable, ", ")
	}
	name := pg.Ident(r.policy.View.Schema, r.policy.View.Name)
	advice := "declare one on plain columns, without WHERE, that tell its rows apart: CREATE UNIQUE INDEX ON " + name + " (…);"
	if key := r.key(ctx, tx, v); len(key) > 0 {
		advice = fmt.Sprintf("declare one. Unique in its present rows: CREATE UNIQUE INDEX ON %s (%s);", name, strings.Join(key, ", "))
	}
	return &Error{Problem: problem,
		Advice: advice + "\nOr, where readers may wait during each refresh, set concurrently = false in its refresh block."}
}

// key finds a column, else two columns, that are unique and not null in the view's rows, or nothing. The transaction is about to
// be rolled back, so an error (no SELECT on the view, the deadline) only means that there is no advice.
func (r *refresher) key(ctx context.Context, tx pgx.Tx, v *view) []string {
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '"+keyDeadline+"'"); err != nil {
		return nil
	}
	var columns []string
	// Types that make a key: they have an order, and are not floating.
	err := tx.QueryRow(ctx, `
		SELECT coalesce(array_agg(x.attname ORDER BY x.attnum), '{}') FROM (
		  SELECT a.attname::text, a.attnum
		    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		   WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		     AND (t.typcategory IN ('N', 'S', 'D', 'E', 'I', 'B') OR t.typname = 'uuid') AND t.typname NOT IN ('float4', 'float8')
		   ORDER BY a.attnum LIMIT $2) x`, v.OID, keyColumns).Scan(&columns)
	if err != nil {
		return nil
	}
	var sets [][]string
	for _, c := range columns {
		sets = append(sets, []string{pg.Ident(c)})
	}
	if key := r.firstUnique(ctx, tx, sets); key != nil {
		return key
	}
	sets = nil
	for i := range min(len(columns), keyPairs) {
		for j := i + 1; j < min(len(columns), keyPairs); j++ {
			sets = append(sets, []string{pg.Ident(columns[i]), pg.Ident(columns[j])})
		}
	}
	return r.firstUnique(ctx, tx, sets)
}

// firstUnique counts all sets in one pass and returns the first that has as many distinct values as the view has rows.
func (r *refresher) firstUnique(ctx context.Context, tx pgx.Tx, sets [][]string) []string {
	if len(sets) == 0 {
		return nil
	}
	exprs := make([]string, len(sets))
	for i, set := range sets {
		expr := set[0]
		if len(set) > 1 {
			expr = "(" + strings.Join(set, ", ") + ")"
		}
		exprs[i] = fmt.Sprintf("count(DISTINCT %s) FILTER (WHERE %s IS NOT NULL)", expr, strings.Join(set, " IS NOT NULL AND "))
	}
	var rows int64
	distinct := make([]int64, len(sets))
	dest := []any{&rows}
	for i := range distinct {
		dest = append(dest, &distinct[i])
	}
	sql := fmt.Sprintf("SELECT count(*), %s FROM %s", strings.Join(exprs, ", "), pg.Ident(r.policy.View.Schema, r.policy.View.Name))
	if err := tx.QueryRow(ctx, sql).Scan(dest...); err != nil || rows < 2 {
		return nil // of one row everything is unique, which says nothing
	}
	for i, n := range distinct {
		if n == rows {
			return sets[i]
		}
	}
	return nil
}

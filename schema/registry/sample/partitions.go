package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// makePartitions makes the monthly partitions, in UTC, that rows of the last 18 months need, as the
// partition job would: a table like the parent, a CHECK that proves the bounds, ATTACH. A month whose
// partition is there is left out.
func makePartitions(ctx context.Context, tx pgx.Tx, table string, now time.Time) (int, error) {
	there, err := boundsOf(ctx, tx, table)
	if err != nil {
		return 0, err
	}
	made := 0
	now = now.UTC()
	// Not now minus 18 months: that is a later month, when it has fewer days than today's number.
	first := time.Date(now.Year(), now.Month()-months, 1, 0, 0, 0, 0, time.UTC)
	for from := first; !from.After(now); from = from.AddDate(0, 1, 0) {
		to := from.AddDate(0, 1, 0)
		if there[fmt.Sprintf("FOR VALUES FROM ('%s') TO ('%s')", bound(from), bound(to))] {
			continue
		}
		if err := makePartition(ctx, tx, table, from, to); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

func makePartition(ctx context.Context, tx pgx.Tx, table string, from, to time.Time) error {
	parent := pg.Ident("public", table)
	name := table + from.Format("_2006_01")
	child := pg.Ident("public", name)
	for _, sql := range []string{
		fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)", child, parent),
		fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (created_at IS NOT NULL AND created_at >= %s AND created_at < %s)",
			child, pg.Ident(name+"_bounds"), pg.Literal(bound(from)), pg.Literal(bound(to))),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
			parent, child, pg.Literal(bound(from)), pg.Literal(bound(to))),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}

// boundsOf returns the bounds of a table's partitions as PostgreSQL writes them in UTC.
func boundsOf(ctx context.Context, tx pgx.Tx, table string) (map[string]bool, error) {
	rows, err := tx.Query(ctx, `
		SELECT pg_get_expr(c.relpartbound, c.oid)
		FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::text::regclass`, pg.Ident("public", table))
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", table, err)
	}
	bounds, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", table, err)
	}
	there := map[string]bool{}
	for _, b := range bounds {
		there[b] = true
	}
	return there, nil
}

// bound writes a boundary with its offset.
func bound(t time.Time) string { return t.Format("2006-01-02 15:04:05") + "+00" }

package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// makePartitions makes the monthly partitions, in UTC, that rows of the last 18 months need, as the
// partition job would; it returns how many. A month that is covered already is left out.
func makePartitions(ctx context.Context, tx pgx.Tx, table config.Table, now time.Time) (int, error) {
	sets, err := parts.Read(ctx, tx, []config.Table{table})
	if err != nil {
		return 0, err
	}
	set := sets[0]
	if set.Problem != nil {
		return 0, set.Problem
	}
	now = now.UTC()
	// Not now minus 18 months: that is in a later month, when the month has fewer days.
	first := time.Date(now.Year(), now.Month()-months, 1, 0, 0, 0, 0, time.UTC)
	starts := parts.Boundaries(config.Month, first, months+1, time.UTC)
	made := 0
	for i, from := range starts[:months+1] {
		month := parts.Range{Lower: set.Key.At(from), Upper: set.Key.At(starts[i+1])}
		if covered(set, month) {
			continue
		}
		if err := makePartition(ctx, tx, set, month); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

func covered(set parts.Set, r parts.Range) bool {
	for _, c := range set.Children {
		if c.Lower.Compare(r.Lower) <= 0 && r.Upper.Compare(c.Upper) <= 0 {
			return true
		}
	}
	return false
}

func makePartition(ctx context.Context, tx pgx.Tx, set parts.Set, r parts.Range) error {
	parent := pg.Ident(set.Table.Schema, set.Table.Name)
	name := parts.Fit(set.Table.Name, r.Lower.Time.Format("_2006_01"))
	child := pg.Ident(set.Table.Schema, name)
	for _, sql := range []string{
		fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT %s CHECK (%s))",
			child, parent, parts.BoundsCheck, set.Key.Check(r)),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", parent, child, set.Key.ForValues(r)),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}

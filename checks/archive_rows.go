package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// archiveRows counts what was moved into the archive since pgtender tends this database. Source: the manifest
// pgtender.archived_partition, of which no row is ever removed. Unit: rows. It is never anything but ok, unless the file
// gives it thresholds.
func archiveRows(env *config.Env, l limits) Check {
	return Check{Name: "archive_rows", Group: "archive", Unit: "rows", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, `
				SELECT live_schema, live_table, sum(coalesce(rows, 0))::float8, count(*), max(moved_at)
				  FROM pgtender.archived_partition WHERE NOT detail ? 'taken_back' GROUP BY 1, 2`)
			if err != nil {
				return nil, err
			}
			type moved struct {
				rows  float64
				moves int
				last  time.Time
			}
			all := map[config.Table]moved{}
			var t config.Table
			var m moved
			_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &m.rows, &m.moves, &m.last}, func() error {
				all[t] = m
				return nil
			})
			if err != nil {
				return nil, err
			}
			var out []Finding
			for _, a := range env.Archives {
				m := all[a.Table]
				f := Finding{Object: a.Table.String(), Value: m.rows, Status: judge(m.rows, l), Message: "nothing was archived yet",
					Samples: []Sample{{"pgtender_archived_rows_total", []string{a.Table.Schema, a.Table.Name}, m.rows}}}
				if m.moves > 0 {
					f.Message = fmt.Sprintf("%s archived in %s, the last at %s", many(int64(m.rows), "row"), many(int64(m.moves), "move"), m.last.UTC().Format(time.RFC3339))
				}
				out = append(out, f)
			}
			return out, nil
		}}
}

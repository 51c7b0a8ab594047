package checks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// missingNamed is how many partitions a finding names, and missingTold how many its remedy does.
const (
	missingNamed = 5
	missingTold  = 50
)

// archiveMissing tells which archived partitions are no longer in their archive: dropped, detached, or gone with the whole archive.
// Source: the moves in pgtender.archived_partition that are not noted as gone, held against pg_inherits. Unit: partitions. Critical above
// 0. Remedy: a backup, or the word that it was meant.
func archiveMissing(env *config.Env) Check {
	return Check{Name: "archive_missing", Group: "archive", Unit: "partitions", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			// A partition that came back by hand and was moved again has two rows; the last one counts.
			rows, err := tx.Query(ctx, `
				SELECT live_schema, live_table, archive_schema || '.' || archive_table, partition_schema, partition_name, coalesce(rows, 0), rows_exact, how
				  FROM (SELECT DISTINCT ON (m.live_schema, m.live_table, m.partition_schema, m.partition_name) m.*, astray.how
				          FROM pgtender.archived_partition m `+parts.Astray+`
				         WHERE m.gone_at IS NULL
				         ORDER BY m.live_schema, m.live_table, m.partition_schema, m.partition_name, m.id DESC) AS last
				 WHERE how IS NOT NULL
				 ORDER BY live_schema, live_table, upper_at, id`)
			if err != nil {
				return nil, err
			}
			all := map[config.Table][]lostPartition{}
			for _, a := range env.Archives {
				all[a.Table] = nil
			}
			var t config.Table
			var l lostPartition
			_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &l.archive, &l.table.Schema, &l.table.Name, &l.rows, &l.exact, &l.how}, func() error {
				all[t] = append(all[t], l)
				return nil
			})
			if err != nil {
				return nil, err
			}
			out := make([]Finding, 0, len(all))
			for t, lost := range all {
				out = append(out, missingFinding(t, lost))
			}
			slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Object, b.Object) })
			return out, nil
		}}
}

// lostPartition is one that is not where the manifest has it.
type lostPartition struct {
	archive string
	table   config.Table
	rows    int64
	exact   bool
	how     string
}

func missingFinding(live config.Table, lost []lostPartition) Finding {
	f := Finding{Object: live.String(), Value: float64(len(lost)), Message: "what was archived is in its archive"}
	if len(lost) == 0 {
		return f
	}
	var rows int64
	about := ""
	var names, tables []string
	for _, l := range lost {
		rows += l.rows
		if !l.exact {
			about = "about "
		}
		names = append(names, fmt.Sprintf("%s (%s)", l.table, l.how))
		tables = append(tables, fmt.Sprintf("(%s, %s)", pg.Literal(l.table.Schema), pg.Literal(l.table.Name)))
	}
	if n := len(names); n > missingNamed {
		names = append(names[:missingNamed:missingNamed], fmt.Sprintf("and %d more", n-missingNamed))
	}
	verb := "are"
	if len(lost) == 1 {
		verb = "is"
	}
	f.Status = Critical
	f.Message = fmt.Sprintf("%s with %s%s %s not in the archive %s any more: %s", many(int64(len(lost)), "archived partition"), about, many(rows, "row"), verb,
		lost[0].archive, strings.Join(names, ", "))
	f.Remedy = fmt.Sprintf("attach what is still there to the archive again, and restore the rest from a backup; if it was meant to go, say so: "+
		"UPDATE pgtender.archived_partition SET gone_at = now(), gone_how = 'dropped' WHERE gone_at IS NULL AND (live_schema, live_table) = (%s, %s) "+
		"AND (partition_schema, partition_name) IN (%s);  -- gone_how = 'restored' for what went back into the live table",
		pg.Literal(live.Schema), pg.Literal(live.Name), strings.Join(tables[:min(len(tables), missingTold)], ", "))
	return f
}

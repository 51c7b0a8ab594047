package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "archive", GroupID: "keep", Short: "What has been archived: list it, verify it, bring it back", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.archiveListCommand(), a.archiveVerifyCommand(), a.archiveRestoreCommand(), a.archiveReleaseCommand())
	return cmd
}

func (a *app) archiveListCommand() *cobra.Command {
	var tableName, format string
	cmd := &cobra.Command{
		Use: "list", Short: "List what was archived: bounds, rows, bytes, when, by which run, and what is missing", Args: noArgs,
		Long: `List what was archived, from the manifest: bounds, rows, bytes, when, by which run, and what is missing. A line is a partition
that was moved whole, a partition of the archive that takes single rows, or the rows that one run moved out of a table that
is not partitioned, with the least and the greatest of their times. What was restored and is held from being archived again is listed too, and
what retention (drop_after) has dropped for good, with when and by which run.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			moves, err := archivedMoves(cmd.Context(), pool, tableName)
			if err != nil {
				return explainRights(cmd.Context(), pool, err)
			}
			if format == "json" {
				return printJSON(a.stdout, moves)
			}
			if len(moves) == 0 {
				_, err := fmt.Fprintln(a.stdout, "Nothing has been archived yet.")
				return err
			}
			t := newTable(a.stdout, "table", "archived in", "from", "to", "rows", "size", "archived", "run", "state")
			for _, m := range moves {
				t.AppendRow(table.Row{m.Table, m.Partition, m.From, m.To, m.rowsText(), size(m.Bytes), moment(m.MovedAt, env.Daemon.Location), m.RunID, m.stateText(env.Daemon.Location)})
			}
			t.Render()
			return nil
		},
	}
	cmd.Flags().StringVar(&tableName, "table", "", "only this live table (`name` or schema.name)")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// archivedMove is one row of the manifest: still in the archive, or it should be, or held, or dropped for good.
type archivedMove struct {
	Table     string    `json:"table"`
	Archive   string    `json:"archive"`
	Partition string    `json:"partition"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Rows      int64     `json:"rows"`
	Exact     bool      `json:"rows_exact"` // false: the planner's estimate at the time of the move
	Bytes     int64     `json:"bytes"`
	MovedAt   time.Time `json:"moved_at"`
	RunID     int64     `json:"run"`
	Missing   bool      `json:"missing"` // it is not in the archive any more
	Where     string    `json:"where"`   // of a missing one: what became of it
	Kind      string    `json:"kind"`    // partition: moved whole; rows: one by one
	Held      bool      `json:"held"`    // it was restored, and is not archived again until it is released

	DroppedAt *time.Time `json:"dropped_at"` // for good, by drop_after; null: it was not
	DroppedBy int64      `json:"dropped_by_run"`

	Known bool `json:"rows_known"` // false: never counted, nor estimated by the planner; rows is 0 then
}

func (m archivedMove) stateText(loc *time.Location) string {
	if m.DroppedAt != nil {
		return fmt.Sprintf("dropped for good %s by run %d", moment(*m.DroppedAt, loc), m.DroppedBy)
	}
	if m.Held {
		return "restored, held"
	}
	if m.Missing {
		return "MISSING: " + m.Where
	}
	if m.Kind == "rows" {
		return "archived by rows"
	}
	return "archived"
}

func (m archivedMove) rowsText() string {
	if m.Exact {
		return fmt.Sprint(m.Rows)
	}
	if !m.Known {
		return "not counted"
	}
	return fmt.Sprintf("about %d", m.Rows)
}

// archivedMoves reads the manifest, in time order. A database that pgtender has not worked on yet has none.
func archivedMoves(ctx context.Context, q pg.Querier, table string) ([]archivedMove, error) {
	asked, err := tableFlag(table)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `
		SELECT live_schema || '.' || live_table, archive_schema || '.' || archive_table, partition_schema || '.' || partition_name,
		       coalesce(lower_bound, lower_at::text, CASE WHEN kind = 'rows' THEN detail->>'min_key' END, 'MINVALUE'),
		       coalesce(upper_bound, upper_at::text, CASE WHEN kind = 'rows' THEN detail->>'max_key' END, 'MAXVALUE'),
		       coalesce(rows, 0), rows_exact, coalesce(bytes, 0), moved_at, coalesce(run_id, 0),
		       gone_at IS NULL AND astray.how IS NOT NULL, CASE WHEN gone_at IS NULL THEN coalesce(astray.how, '') ELSE '' END, kind, coalesce(gone_how = 'restored', false),
		       CASE WHEN gone_how = 'dropped' THEN gone_at END, coalesce((detail->>'dropped_by_run')::bigint, 0), rows IS NOT NULL
		FROM pgtender.archived_partition m`+parts.Astray+`
		WHERE (gone_at IS NULL OR gone_how = 'dropped' OR gone_how = 'restored' AND detail ? 'hold') AND ($2 = '' OR live_table = $2) AND ($1 = '' OR live_schema = $1)
		ORDER BY live_schema, live_table, upper_at, detail->>'min_key', id`, asked.Schema, asked.Name)
	if err == nil {
		moves, err := pgx.CollectRows(rows, pgx.RowToStructByPos[archivedMove])
		if err == nil {
			return moves, nil
		}
		return nil, manifestError(err)
	}
	return nil, manifestError(err)
}

// tableFlag reads the value of --table where no declaration is asked: without a schema, a table of that name in any. "" is every table.
func tableFlag(text string) (config.Table, error) {
	if text == "" {
		return config.Table{}, nil
	}
	t, err := config.ParseTable(text, "")
	if err != nil {
		return t, fmt.Errorf("--table %s %w", text, err)
	}
	return t, nil
}

func manifestError(err error) error {
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return fmt.Errorf("pgtender has not worked on this database yet: run `pgtender apply`, then `pgtender run`")
	}
	return fmt.Errorf("read the manifest of the archive: %w", err)
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "archive", GroupID: "keep", Short: "What has been archived", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.archiveListCommand())
	return cmd
}

func (a *app) archiveListCommand() *cobra.Command {
	var tableName, format string
	cmd := &cobra.Command{
		Use: "list", Short: "List archived partitions: bounds, rows, bytes, when, by which run, and which are missing", Args: noArgs,
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
			t := newTable(a.stdout, "table", "partition", "from", "to", "rows", "size", "archived", "run", "state")
			for _, m := range moves {
				t.AppendRow(table.Row{m.Table, m.Partition, m.From, m.To, m.rowsText(), size(m.Bytes), moment(m.MovedAt, env.Daemon.Location), m.RunID, m.stateText()})
			}
			t.Render()
			return nil
		},
	}
	cmd.Flags().StringVar(&tableName, "table", "", "only this live table (`name` or schema.name)")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// archivedMove is one row of the manifest that is still in the archive, or should be.
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
}

func (m archivedMove) stateText() string {
	if m.Missing {
		return "MISSING: " + m.Where
	}
	return "archived"
}

func (m archivedMove) rowsText() string {
	if m.Exact {
		return fmt.Sprint(m.Rows)
	}
	return fmt.Sprintf("about %d", m.Rows)
}

// archivedMoves reads the manifest, in time order. A database that pgtender has not worked on yet has none.
func archivedMoves(ctx context.Context, q pg.Querier, table string) ([]archivedMove, error) {
	schema, name, qualified := strings.Cut(table, ".")
	if !qualified {
		schema, name = "", table
	}
	rows, err := q.Query(ctx, `
		SELECT live_schema || '.' || live_table, archive_schema || '.' || archive_table, partition_schema || '.' || partition_name,
		       coalesce(lower_bound, 'MINVALUE'), coalesce(upper_bound, 'MAXVALUE'),
		       coalesce(rows, 0), rows_exact, coalesce(bytes, 0), moved_at, coalesce(run_id, 0), astray.how IS NOT NULL, coalesce(astray.how, '')
		FROM pgtender.archived_partition m`+parts.Astray+`
		WHERE gone_at IS NULL AND ($2 = '' OR live_table = $2) AND ($1 = '' OR live_schema = $1)
		ORDER BY live_schema, live_table, upper_at, id`, schema, name)
	if err == nil {
		moves, err := pgx.CollectRows(rows, pgx.RowToStructByPos[archivedMove])
		if err == nil {
			return moves, nil
		}
		return nil, manifestError(err)
	}
	return nil, manifestError(err)
}

func manifestError(err error) error {
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return fmt.Errorf("pgtender has not worked on this database yet: run `pgtender apply`, then `pgtender run`")
	}
	return fmt.Errorf("read the manifest of the archive: %w", err)
}

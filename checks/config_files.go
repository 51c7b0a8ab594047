package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// configViews are the views of the configuration files, each with the function behind it. By default only superusers may use them;
// pg_monitor does not cover them.
func configViews() [][2]string {
	return [][2]string{
		{"pg_file_settings", "pg_show_all_file_settings()"},
		{"pg_hba_file_rules", "pg_hba_file_rules()"},
		{"pg_ident_file_mappings", "pg_ident_file_mappings()"},
	}
}

// ConfigFileGrants are the statements that let a role look for errors in the configuration files.
func ConfigFileGrants(role string) []string {
	var views, functions []string
	for _, v := range configViews() {
		views, functions = append(views, "pg_catalog."+v[0]), append(functions, "pg_catalog."+v[1])
	}
	return []string{
		"GRANT SELECT ON " + strings.Join(views, ", ") + " TO " + pg.Ident(role) + ";",
		"GRANT EXECUTE ON FUNCTION " + strings.Join(functions, ", ") + " TO " + pg.Ident(role) + ";",
	}
}

// configFiles names the errors in postgresql.conf, pg_hba.conf and pg_ident.conf: a reload passes over the file, and a restart fails.
// Source: pg_file_settings, pg_hba_file_rules, pg_ident_file_mappings, each to be granted. What only waits for a restart is no error.
// Unit: errors. Warning from 1. Remedy: mend the line and reload.
func configFiles(l limits) Check {
	return Check{Name: "config_files", Group: "server", Unit: "errors", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			for _, v := range configViews() {
				var may bool
				var user string
				err := tx.QueryRow(ctx, "SELECT has_table_privilege($1, 'SELECT') AND has_function_privilege($2, 'EXECUTE'), current_user", "pg_catalog."+v[0], "pg_catalog."+v[1]).Scan(&may, &user)
				if err != nil {
					return nil, err
				}
				if !may {
					return []Finding{{Status: Unknown, Message: fmt.Sprintf("role %q may not look for errors in the configuration files", user),
						Remedy: strings.Join(ConfigFileGrants(user), " ")}}, nil
				}
			}
			rows, err := tx.Query(ctx, `
				SELECT regexp_replace(file, '.*/', '') || ':' || line || ': ' || error
				  FROM (SELECT f.sourcefile, f.sourceline, coalesce(f.name || ': ', '') || f.error FROM pg_file_settings f
				         WHERE f.error IS NOT NULL AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name AND s.pending_restart)
				        UNION ALL SELECT file_name, line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL
				        UNION ALL SELECT file_name, line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL) AS wrong (file, line, error)
				 ORDER BY file, line, error`)
			if err != nil {
				return nil, err
			}
			wrong, err := pgx.CollectRows(rows, pgx.RowTo[string])
			return tally(wrong, l, "error| in the configuration files", "the configuration files have no error", "mend it, then: SELECT pg_reload_conf();"), err
		}}
}

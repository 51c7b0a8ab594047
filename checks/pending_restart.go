package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// pendingRestart names the settings whose new value waits for a restart: the next one, perhaps at night, brings a change that nobody
// remembers. Those of I/O are io_settings' own. Source: pg_settings.pending_restart, which every role may read. Unit: settings. Warning
// from 1. Remedy: restart when it suits, or set the value in force.
func pendingRestart(l limits) Check {
	return Check{Name: "pending_restart", Group: "server", Unit: "settings", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, `SELECT name, setting || coalesce(CASE unit WHEN '8kB' THEN '' ELSE unit END, '') FROM pg_settings WHERE pending_restart AND name NOT LIKE 'io\_%' AND name <> 'debug_io_direct' ORDER BY name`)
			if err != nil {
				return nil, err
			}
			var names []string
			var name, setting, value string // value is what is in force; ALTER SYSTEM RESET would leave the flag
			_, err = pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
				if names = append(names, name); len(names) == 1 {
					value = setting
				}
				return nil
			})
			if err != nil || len(names) == 0 {
				return tally(names, l, "", "no setting waits for a restart", ""), err
			}
			return tally(names, l, "setting| with a new value for the next restart", "",
				"restart the server when it suits, or take the change back: ALTER SYSTEM SET "+pg.Ident(names[0])+" = "+pg.Literal(value)+"; SELECT pg_reload_conf();"), nil
		}}
}

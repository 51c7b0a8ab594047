package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// The server caps io_combine_limit at io_max_combine_limit, silently.
const ioSettingsSQL = `
SELECT s.name, setting, pending_restart, vartype IN ('integer', 'real', 'bool'),
       CASE WHEN vartype NOT IN ('integer', 'real', 'bool') THEN 0
            WHEN vartype = 'bool' THEN (setting = 'on')::int
            WHEN s.name = 'io_combine_limit'
            THEN least(setting::float8, coalesce((SELECT m.setting::float8 FROM pg_settings m WHERE m.name = 'io_max_combine_limit'), setting::float8))
            ELSE setting::float8 END
  FROM pg_settings s
 WHERE s.name LIKE 'io\_%'
    OR s.name IN ('debug_io_direct', 'effective_io_concurrency', 'maintenance_io_concurrency', 'track_io_timing')
 ORDER BY s.name`

// ioSettings reads the settings of asynchronous I/O and tells which wait for a restart. Source: pg_settings. Unit: 1 for each
// that waits. Warning for each. Remedy: see what it would become before the restart.
func ioSettings() Check {
	return Check{Name: "io_settings", Group: "server", Unit: "settings", Every: time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, ioSettingsSQL)
			if err != nil {
				return nil, err
			}
			all := Finding{Message: "no I/O setting waits for a restart"}
			var waiting []Finding
			var name, text string
			var pending, numeric bool
			var value float64
			_, err = pgx.ForEachRow(rows, []any{&name, &text, &pending, &numeric, &value}, func() error {
				if numeric {
					all.Samples = append(all.Samples, Sample{"pgtender_io_setting", []string{name}, value})
				}
				if name == "io_method" {
					all.Samples = append(all.Samples, Sample{"pgtender_io_method_info", []string{text}, 1})
				}
				p := 0.0
				if pending {
					p = 1
					waiting = append(waiting, Finding{Object: name, Status: Warning, Value: 1,
						Message: "another value of it waits for the next restart", Remedy: "pgtender io recommend"})
				}
				all.Samples = append(all.Samples, Sample{"pgtender_io_pending_restart", []string{name}, p})
				return nil
			})
			if err != nil {
				return nil, err
			}
			if len(waiting) > 0 {
				waiting[0].Samples = all.Samples
				return waiting, nil
			}
			return []Finding{all}, nil
		}}
}

package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// schemaApply tells how the last application of a plan ended. Source: pgtender.applied_plan. Unit: seconds since the last one
// that was done. Warning when the last one failed, or was begun and never ended, unless the schemas have been found equal since.
// Remedy: apply again, which goes on where it stopped.
func schemaApply() Check {
	return Check{Name: "schema_apply", Group: "schema", Unit: "seconds", Every: 30 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var state, problem string
			var now time.Time
			var done, started *time.Time
			var mended bool
			err := tx.QueryRow(ctx, `
				SELECT now(), (SELECT max(finished_at) FROM pgtender.applied_plan WHERE state = 'done'),
				       coalesce(l.state, ''), coalesce(l.error, ''), l.started_at,
				       EXISTS (SELECT FROM pgtender.run d WHERE d.job = 'drift' AND d.target = '' AND d.started_at > l.started_at
				                  AND d.outcome IN ('noop', 'success') AND d.detail ->> 'differing' = '0')
				  FROM (VALUES (1)) AS one (row)
				  LEFT JOIN (SELECT * FROM pgtender.applied_plan ORDER BY id DESC LIMIT 1) AS l ON true`).
				Scan(&now, &done, &state, &problem, &started, &mended)
			if err != nil {
				return nil, err
			}
			f := Finding{Message: "no plan was applied yet"}
			if done != nil {
				f.Value = now.Sub(*done).Seconds()
				f.Message = "a plan was last applied " + span(now.Sub(*done)) + " ago"
				f.Samples = []Sample{{"pgtender_schema_last_apply_timestamp_seconds", nil, unix(*done)}}
			}
			switch {
			case mended:
			case state == "failed":
				f.Status, f.Message, f.Remedy = Warning, "the last plan failed: "+problem, "pgtender plan"
			case state == "running" && now.Sub(*started) > time.Hour:
				f.Status, f.Remedy = Warning, "pgtender apply"
				f.Message = "the last plan was begun " + span(now.Sub(*started)) + " ago and has not ended"
			}
			return []Finding{f}, nil
		}}
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// matviewAge tells how old the data of each view of a refresh policy is: the time since it was last refreshed, or proved
// fresh. Source: pgtender.refresh_state, by the server's clock. Unit: seconds. Warning when two and a half of its scheduled
// times have passed since; critical when it is older than its max_staleness besides. Remedy: run its refresh job.
func matviewAge(env *config.Env) Check {
	return Check{Name: "matview_age", Group: "views", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			schemas, names := viewNames(env)
			var out []Finding
			rows, err := tx.Query(ctx, `
				SELECT now(), s.checked_at
				  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
				  LEFT JOIN pg_namespace n ON n.nspname = w.nspname
				  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname
				  LEFT JOIN pgtender.refresh_state s ON s.view_schema = w.nspname AND s.view_name = w.relname AND s.view_oid = c.oid
				 ORDER BY i`, schemas, names)
			if err != nil {
				return nil, err
			}
			var now time.Time
			var fresh *time.Time
			_, err = pgx.ForEachRow(rows, []any{&now, &fresh}, func() error {
				out = append(out, viewAge(env.Refreshes[len(out)], now, fresh))
				return nil
			})
			return out, err
		}}
}

func viewAge(policy config.Refresh, now time.Time, fresh *time.Time) Finding {
	f := Finding{Object: policy.View.String(), Remedy: "pgtender job run refresh --table " + policy.View.String()}
	if fresh == nil {
		f.Status, f.Message = Unknown, "no refresh of it is recorded yet"
		return f
	}
	age := now.Sub(*fresh)
	f.Value = age.Seconds()
	f.Samples = []Sample{{"pgtender_matview_age_seconds", []string{policy.View.Schema, policy.View.Name}, f.Value}}
	f.Message = "its data is " + span(age) + " old; schedule " + policy.Schedule.Text
	due := overdue(policy.Schedule, *fresh)
	if !now.After(due) {
		f.Remedy = ""
		return f
	}
	f.Status = Warning
	f.Message += ", so a refresh was due"
	if m := policy.MaxStaleness; !m.IsZero() && fresh.Before(m.Before(now, time.UTC)) {
		f.Status = Critical
		f.Message += fmt.Sprintf(", and older than its max_staleness of %s", m)
	}
	return f
}

// overdue is when two and a half scheduled times after t have passed; zero when the schedule has no more of them.
func overdue(s config.Schedule, t time.Time) time.Time {
	second := s.Next(s.Next(t))
	third := s.Next(second)
	return second.Add(third.Sub(second) / 2)
}

func viewNames(env *config.Env) (schemas, names []string) {
	for _, r := range env.Refreshes {
		schemas, names = append(schemas, r.View.Schema), append(names, r.View.Name)
	}
	return schemas, names
}

func quoted(t config.Table) string { return pg.Ident(t.Schema, t.Name) }

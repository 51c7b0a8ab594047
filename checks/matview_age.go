package checks

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// matviewAge tells how old the data of each view of a refresh policy is: the time since it was last refreshed, or proved
// fresh. Source: pgtender.refresh_state, by the server's clock. Unit: seconds. Warning when two and a half of its scheduled
// times have passed since; critical when it is older than its max_staleness besides. A view that was made and filled otherwise
// has as long, from the last refresh of the view that bore its name before, or else from when its refresh was first tried; that
// it is not even tried, job_success says.
// Remedy: run its refresh job.
func matviewAge(env *config.Env, l limits) Check {
	return Check{Name: "matview_age", Group: "views", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			schemas, names := viewNames(env)
			var out []Finding
			rows, err := tx.Query(ctx, `
				SELECT now(), coalesce(c.relispopulated, false), coalesce(s.view_oid = c.oid, false), s.checked_at,
				       (SELECT r.started_at FROM pgtender.run r WHERE r.job = 'refresh' AND r.target = w.nspname || '.' || w.relname AND r.outcome IS NOT NULL ORDER BY r.id LIMIT 1)
				  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nspname, relname, i)
				  LEFT JOIN pg_namespace n ON n.nspname = w.nspname
				  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
				  LEFT JOIN pgtender.refresh_state s ON s.view_schema = w.nspname AND s.view_name = w.relname
				 ORDER BY i`, schemas, names)
			if err != nil {
				return nil, err
			}
			var now time.Time
			var populated, same bool
			var checked, tried *time.Time
			_, err = pgx.ForEachRow(rows, []any{&now, &populated, &same, &checked, &tried}, func() error {
				policy := env.Views()[len(out)]
				switch {
				case same && checked != nil:
					out = append(out, viewAge(policy, now, *checked, l))
				case populated:
					since := now
					if checked != nil { // of the view before it, which this one is younger than
						since = *checked
					} else if tried != nil {
						since = *tried
					}
					out = append(out, madeAnew(policy, now, since, l))
				default:
					out = append(out, Finding{Object: policy.View.String(), Status: Unknown, Message: "no refresh of it is recorded yet", Remedy: refreshCommand(policy)})
				}
				return nil
			})
			return out, err
		}}
}

func refreshCommand(policy config.Refresh) string {
	return jobCommand("refresh", policy.View.String())
}

// madeAnew judges a view that has data which no refresh by pgtender brought. How old they are nobody knows, so there is no sample; the
// value is for how long it has waited for its first refresh.
func madeAnew(policy config.Refresh, now, since time.Time, l limits) Finding {
	f := Finding{Object: policy.View.String(), Value: max(now.Sub(since).Seconds(), 0), Message: "made anew, not refreshed by pgtender yet; schedule " + policy.Schedule.Text}
	if f.Status = missed(policy.Schedule, since, now, l); f.Status != OK {
		f.Remedy = refreshCommand(policy)
		f.Message += ", so a refresh was due"
	}
	return f
}

func viewAge(policy config.Refresh, now, fresh time.Time, l limits) Finding {
	f := Finding{Object: policy.View.String()}
	age := now.Sub(fresh)
	f.Value = age.Seconds()
	f.Samples = []Sample{{"pgtender_matview_age_seconds", []string{policy.View.Schema, policy.View.Name}, f.Value}}
	f.Message = "its data is " + span(age) + " old; schedule " + policy.Schedule.Text
	if f.Status = missed(policy.Schedule, fresh, now, l); f.Status == OK {
		return f
	}
	f.Remedy = refreshCommand(policy)
	f.Message += ", so a refresh was due"
	if m := policy.MaxStaleness; !m.IsZero() && fresh.Before(m.Before(now, time.UTC)) {
		f.Status = Critical
		f.Message += fmt.Sprintf(", and older than its max_staleness of %s", m)
	}
	return f
}

// missed tells whether so many scheduled times as the thresholds say have passed since t.
func missed(s config.Schedule, t, now time.Time, l limits) Status {
	late := func(n float64) bool { return n > 0 && now.After(overdue(s, t, n)) && !overdue(s, t, n).IsZero() }
	switch {
	case late(l.Critical):
		return Critical
	case late(l.Warning):
		return Warning
	}
	return OK
}

// maxPeriods bounds how many scheduled times are counted one by one.
const maxPeriods = 1000

// overdue is when so many scheduled times after t have passed, of which a part counts as part of the way to the next; zero when the
// schedule has no more of them.
func overdue(s config.Schedule, t time.Time, n float64) time.Time {
	whole := min(math.Floor(n), maxPeriods)
	for range int(whole) {
		if t = s.Next(t); t.IsZero() {
			return t
		}
	}
	next := s.Next(t)
	if next.IsZero() {
		return next
	}
	return t.Add(time.Duration((n - whole) * float64(next.Sub(t))))
}

func viewNames(env *config.Env) (schemas, names []string) {
	for _, r := range env.Views() {
		schemas, names = append(schemas, r.View.Schema), append(names, r.View.Name)
	}
	return schemas, names
}

func quoted(t config.Table) string { return pg.Ident(t.Schema, t.Name) }

package checks

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// scheduled is a job of the file on one target.
type scheduled struct {
	job, target string
	schedule    config.Schedule
}

func (s scheduled) String() string { return strings.TrimSpace(s.job + " " + s.target) }

// scheduledJobs are the jobs whose schedule the file gives. The comparison of the schema has a check of its own, schema_drift.
func scheduledJobs(env *config.Env) []scheduled {
	var out []scheduled
	for _, a := range env.Archives {
		out = append(out, scheduled{"archive", a.Table.String(), a.Schedule})
	}
	if env.IO != nil {
		out = append(out, scheduled{"io", "", env.IO.Schedule})
	}
	for _, p := range env.Partitions {
		out = append(out, scheduled{"partition", p.Table.String(), p.Schedule})
	}
	for _, r := range env.Views() {
		out = append(out, scheduled{"refresh", r.View.String(), r.Schedule})
	}
	for _, j := range env.Jobs {
		out = append(out, scheduled{j.Name, "", j.Schedule})
	}
	return out
}

// The last good run is found as the runner finds it; where there is none, the first run of all tells since when it has been tried.
const jobSuccessSQL = `
SELECT now(), good.finished_at, first.started_at, coalesce(last.outcome, ''), coalesce(last.error, '')
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (job, target, i)
  LEFT JOIN LATERAL (SELECT finished_at FROM pgtender.run r WHERE r.job = w.job AND r.target = w.target AND r.outcome <> 'failure' AND r.covered_until IS NOT NULL
                      ORDER BY r.id DESC LIMIT 1) AS good ON true
  LEFT JOIN LATERAL (SELECT started_at FROM pgtender.run r WHERE r.job = w.job AND r.target = w.target AND r.outcome IS NOT NULL
                      ORDER BY r.id LIMIT 1) AS first ON true
  LEFT JOIN LATERAL (SELECT outcome, error FROM pgtender.run r WHERE r.job = w.job AND r.target = w.target AND r.outcome IS NOT NULL
                      ORDER BY r.id DESC LIMIT 1) AS last ON true
 ORDER BY i`

// jobSuccess tells for how long each job of the file has not ended well. Source: the run ledger pgtender.run. Unit: seconds. Warning when
// two and a half of its scheduled times have passed since; a job that never ended well counts from its first try, and one that was never
// tried from when this process first looked. Remedy: run it by hand and see.
func jobSuccess(env *config.Env, l limits) Check {
	all := scheduledJobs(env)
	anew := sightings{first: map[scheduled]time.Time{}}
	return Check{Name: "job_success", Group: "jobs", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			var jobs, targets []string
			for _, s := range all {
				jobs, targets = append(jobs, s.job), append(targets, s.target)
			}
			rows, err := tx.Query(ctx, jobSuccessSQL, jobs, targets)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var now time.Time
			var good, first *time.Time
			var outcome, problem string
			_, err = pgx.ForEachRow(rows, []any{&now, &good, &first, &outcome, &problem}, func() error {
				s := all[len(out)]
				since, what := anew.see(s, now), "it has not run yet"
				switch {
				case good != nil:
					since, what = *good, "it last ended well "+span(now.Sub(*good))+" ago"
				case first != nil:
					since, what = *first, "it has never ended well"
				}
				f := Finding{Object: s.String(), Value: max(now.Sub(since).Seconds(), 0), Status: missed(s.schedule, since, now, l), Message: what + "; schedule " + s.schedule.Text}
				if outcome == "failure" {
					f.Message += "; " + LastRunFailed + oneLine(problem)
				}
				if f.Status != OK {
					f.Remedy = jobCommand(s.job, s.target)
				}
				out = append(out, f)
				return nil
			})
			return out, err
		}}
}

// LastRunFailed comes before the error in what job_success says of a job whose last run failed.
const LastRunFailed = "the last run failed: "

// sightings remembers when what has no past in the ledger was first seen.
type sightings struct {
	mu    sync.Mutex
	first map[scheduled]time.Time
}

func (s *sightings) see(job scheduled, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first[job].IsZero() {
		s.first[job] = now
	}
	return s.first[job]
}

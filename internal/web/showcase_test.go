package web

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/overview"
)

// evil is a name that PostgreSQL allows and a careless page would run.
const evil = `a"b'c<script>alert(1)</script>&amp;</svg>`

// pieces are months around noon: archived ones, live ones, the present one, and ahead.
func pieces(table string, archived, live, ahead int, edit func([]overview.Piece) []overview.Piece) []overview.Piece {
	month := time.Date(noon.Year(), noon.Month(), 1, 0, 0, 0, 0, time.UTC)
	var out []overview.Piece
	for i := -archived - live; i <= ahead; i++ {
		from := month.AddDate(0, i, 0)
		p := overview.Piece{Name: fmt.Sprintf("public.%s_%s", table, from.Format("2006_01")), From: from, To: from.AddDate(0, 1, 0),
			Rows: 4000 + int64((i*i*37)%3000), Bytes: 1<<20 + int64(i*i)*1000}
		switch {
		case i < -live:
			p.State, p.Exact = overview.Archived, true
		case i < 0:
			p.State = overview.Live
		case i == 0:
			p.State, p.Rows = overview.Current, 900
		default:
			p.State, p.Rows, p.Bytes = overview.Ahead, -1, 8192
		}
		out = append(out, p)
	}
	if edit != nil {
		out = edit(out)
	}
	return out
}

// history is a job's past: now and then it fails, is skipped or has nothing to do.
func history(n int, every, length time.Duration) []overview.Run {
	var out []overview.Run
	for i := range n {
		r := overview.Run{Outcome: "success", Trigger: "schedule", Text: "done"}
		switch i % 7 {
		case 3:
			r.Outcome, r.Text = "noop", "nothing to do"
		case 4:
			r.Outcome, r.Text = "skipped", "nothing it reads has changed"
		case 6:
			r.Outcome, r.Text = "failure", evil
		}
		r.Finished = noon.Add(-time.Duration(i) * every)
		r.Started = r.Finished.Add(-length * time.Duration(1+i%5))
		out = append(out, r)
	}
	return out
}

// showcase is a status in which much is wrong, and whose names do their worst.
func showcase(t *testing.T) Source {
	t.Helper()
	s := sample(t)
	env := *s.Env
	env.Refreshes = slices.Clone(env.Refreshes)
	env.Refreshes[0].MaxStaleness = config.Interval{Text: "1 hour", Duration: time.Hour}
	s.Env = &env
	table := func(name string) config.Table { return config.Table{Schema: "public", Name: name} }
	gap := func(p []overview.Piece) []overview.Piece {
		p[9].State, p[9].Name, p[9].Rows, p[9].Bytes = overview.Hole, "", -1, -1
		p[12].State = overview.Detaching
		return append(p, overview.Piece{State: overview.Default, Name: "public.events_default", Rows: 12, Bytes: 16384})
	}
	old, worker := "3", "6"
	jobs := s.Jobs
	s.Jobs = func() []Job {
		return append(jobs(),
			Job{Job: "partition", Target: "public." + evil, Schedule: "@hourly", Next: noon.Add(17 * time.Minute), Outcome: "noop", Started: noon.Add(-43 * time.Minute),
				Finished: noon.Add(-43*time.Minute + 30*time.Millisecond), Summary: "nothing to make; covered until 2026-09-01T00:00:00Z"},
			Job{Job: "rollup_deployments", Schedule: "*/5 * * * *", Next: noon.Add(-time.Second), Running: noon.Add(-90 * time.Second), Outcome: "success",
				Started: noon.Add(-6 * time.Minute), Finished: noon.Add(-5 * time.Minute), Summary: "CALL"})
	}
	s.Drift = func() checks.Drift {
		return checks.Drift{At: noon.Add(-20 * time.Minute), Objects: []string{"index public.orders_created_at_idx", "column public." + evil + ".price"}}
	}
	s.Overview = func() overview.Reading {
		at := noon.Add(-12 * time.Second)
		return overview.Reading{
			Tables: overview.Part[[]overview.Table]{At: at, Value: []overview.Table{
				{Table: table("events"), Asked: table("events"), Into: table("events_archive"), Pieces: pieces("events", 6, 12, 3, gap)},
				{Table: table("training_records"), Asked: table("training_records"), Into: table("training_records_archive"), Pieces: pieces("training_records", 9, 12, 3, nil)},
				{Table: table(evil), Asked: table(evil), Pieces: pieces(evil, 0, 2, 2, func(p []overview.Piece) []overview.Piece {
					p[0].From, p[4].To = time.Time{}, time.Time{}
					return p
				})},
				{Table: table("plain_list"), Asked: table("plain_list"), Problem: "it is partitioned by LIST (region text), and so is every branch of it"},
				{Table: table("rows"), Asked: table("rows"), Into: table("rows_archive"), Pieces: []overview.Piece{{State: overview.Archived, Name: "public.rows_archive_2024", Rows: 5, Bytes: -1}}},
			}},
			Runs: overview.Part[map[overview.Task][]overview.Run]{At: at, Value: map[overview.Task][]overview.Run{
				{Job: "refresh", Target: "public.mv"}:        history(40, 5*time.Minute, 40*time.Millisecond),
				{Job: "archive", Target: "public.events"}:    history(7, 24*time.Hour, 90*time.Second),
				{Job: "partition", Target: "public." + evil}: history(24, time.Hour, 5*time.Millisecond),
				{Job: "rollup_deployments"}:                  history(2, 5*time.Minute, 20*time.Second),
			}},
			Views: overview.Part[[]overview.View]{At: noon.Add(-5 * time.Minute), Err: errors.New("read the materialised views: an object is locked"), Value: []overview.View{
				{View: table("mv"), There: true, Populated: true, Same: true, Refreshed: noon.Add(-3 * time.Hour), Checked: noon.Add(-67 * time.Minute), Rows: 21, Bytes: 8192}}},
			Settings: overview.Part[[]overview.Setting]{At: at, Value: []overview.Setting{
				{Name: "io_method", Value: "worker", Source: "default", Context: "postmaster", Pending: true},
				{Name: "io_workers", Value: "3", Source: "configuration file", Context: "sighup"}}},
			Changes: overview.Part[[]overview.Change]{At: at, Value: []overview.Change{
				{Name: "io_workers", Old: &old, New: &worker, State: "begun", Reason: "all workers were busy in 9 of 10 samples, and 14 I/Os waited <b>", Made: noon.Add(-10 * time.Minute)},
				{Name: "effective_io_concurrency", New: &worker, State: "reverted", Reason: "no gain: the median ratio was 1.02", Made: noon.Add(-30 * time.Hour), Ended: noon.Add(-29 * time.Hour)}}},
			Plans: overview.Part[[]overview.Plan]{At: at, Value: []overview.Plan{
				{Hash: "1a2b", State: "failed", Statements: 7, Done: 3, By: "tender", Started: noon.Add(-3 * time.Hour), Error: "create index: lock timeout"},
				{Hash: "3c4d", State: "done", Statements: 386, Done: 386, By: "tender", Started: noon.Add(-72 * time.Hour), Finished: noon.Add(-72 * time.Hour)}}},
		}
	}
	return s
}

// crowd is a status of hundreds of tables, views and jobs, each with as much as is read.
func crowd(t *testing.T) Source {
	t.Helper()
	s := showcase(t)
	env := *s.Env
	tables, jobs, runs := []overview.Table{}, []Job{}, map[overview.Task][]overview.Run{}
	for i := range 600 {
		name := config.Table{Schema: "tenant_schema_with_a_rather_long_name", Name: fmt.Sprintf("measurements_of_customer_%04d_partitioned", i)}
		tables = append(tables, overview.Table{Table: name, Asked: name, Pieces: pieces(name.Name, 100, 24, 3, nil)})
		jobs = append(jobs, Job{Job: "partition", Target: name.String(), Schedule: "@hourly", Outcome: "noop", Started: noon, Finished: noon, Summary: "nothing to do"})
		runs[overview.Task{Job: "partition", Target: name.String()}] = history(24, time.Hour, time.Second)
		env.Refreshes = append(env.Refreshes, config.Refresh{View: config.Table{Schema: "public", Name: fmt.Sprintf("view_%d", i)}, When: config.RefreshAuto})
	}
	many := checks.Result{Check: "matview_age", Group: "views", At: noon}
	for i := range 600 {
		many.Findings = append(many.Findings, checks.Finding{Object: fmt.Sprintf("public.view_%d", i), Status: checks.Warning, Message: "its data is old"})
	}
	s.Env = &env
	s.Jobs = func() []Job { return jobs }
	s.Results = func() []checks.Result { return []checks.Result{many} }
	seen := s.Overview()
	seen.Tables.Value, seen.Runs.Value = tables, runs
	s.Overview = func() overview.Reading { return seen }
	return s
}

// gone is the same while the server is away.
func gone(t *testing.T) Source {
	t.Helper()
	s := showcase(t)
	results := s.Results()
	refused := errors.New("no server answers (host db, port 5432, database \"app\", user \"app\"): connect: connection refused")
	for i := range results {
		results[i].Err = refused
		results[i].Findings = []checks.Finding{{Status: checks.Unknown, Message: "the check failed: " + refused.Error()}}
		results[i].At = noon.Add(-4 * time.Minute)
	}
	s.Results = func() []checks.Result { return results }
	s.Database = func() Database {
		return Database{URL: "postgres://app@db:5432/app", Version: "18.4", Answered: noon.Add(-4 * time.Minute), Problem: refused.Error()}
	}
	s.Ready = func() []Condition { return []Condition{{Name: "connected", Why: refused.Error()}} }
	seen := s.Overview()
	seen.Tables.Err, seen.Tables.At = refused, noon.Add(-5*time.Minute)
	s.Overview = func() overview.Reading { return seen }
	return s
}

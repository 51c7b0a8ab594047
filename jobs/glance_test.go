package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

// desk is a job with a Glance over some targets.
type desk struct {
	mu    sync.Mutex
	asked []string
	ran   []string
	look  func(ctx context.Context, targets []string) (map[string]jobs.Result, error)
}

func (d *desk) tasks(targets ...string) (tasks []jobs.Task) {
	glance := &jobs.Glance{Idle: func(ctx context.Context, targets []string) (map[string]jobs.Result, error) {
		d.mu.Lock()
		d.asked = append(d.asked, strings.Join(targets, "+"))
		d.mu.Unlock()
		return d.look(ctx, targets)
	}}
	for _, target := range targets {
		t := task("tend", target, "@hourly", func(context.Context, *jobs.Run) (jobs.Result, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.ran = append(d.ran, target)
			return jobs.Result{Summary: "worked"}, nil
		})
		t.Glance, t.Locks = glance, []string{target}
		tasks = append(tasks, t)
	}
	return tasks
}

func (d *desk) want(t *testing.T, asked, ran string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.ran)
	if got := strings.Join(d.asked, " "); got != asked {
		t.Errorf("asked about %q, want %q", got, asked)
	}
	if got := strings.Join(d.ran, " "); got != ran {
		t.Errorf("ran %q, want %q", got, ran)
	}
}

// idle finds nothing to do but for the targets named.
func idle(but ...string) func(context.Context, []string) (map[string]jobs.Result, error) {
	return func(_ context.Context, targets []string) (map[string]jobs.Result, error) {
		found := map[string]jobs.Result{}
		for _, t := range targets {
			if !slices.Contains(but, t) {
				found[t] = jobs.Result{Outcome: jobs.Noop, Summary: "idle", Detail: map[string]any{"of": t}}
			}
		}
		return found, nil
	}
}

func TestAGlanceSparesTheRunsOfIdleTargets(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	c := newClock("2026-08-05 12:02:30")
	d := &desk{look: idle("b")}
	r := launch(t, url, c, func(o *jobs.Options) { o.MaxParallel = 1 }, d.tasks("a", "b", "c")...)
	for range 3 {
		r.next()
	}
	d.want(t, "a+b+c", "b")
	until(t, "the next run is known", func() bool { return r.Status()[0].Next.Hour() == 13 && r.Status()[1].Running.IsZero() })
	c.set("2026-08-05 13:00:00")
	for range 3 {
		r.next()
	}
	d.want(t, "a+b+c a+b+c", "b b")
	for i, want := range []jobs.Outcome{jobs.Noop, jobs.Success, jobs.Noop} {
		s := r.Status()[i]
		if s.Counts[want] != 2 || s.Last == nil || s.Last.ID == 0 || s.Last.Outcome != want || s.LastSuccess.IsZero() {
			t.Errorf("%s: %+v", s.Target, s)
		}
	}
	r.halt()
	wantRows(t, url, "target, trigger, "+when+", outcome, summary, detail, covered_until = scheduled_for, started_at <= finished_at, instance <> ''",
		`a catch-up 12:02:30 noop idle {"of": "a"} t t t`, `c catch-up 12:02:30 noop idle {"of": "c"} t t t`, "b catch-up 12:02:30 success worked {} t t t",
		`a schedule 13:00:00 noop idle {"of": "a"} t t t`, `c schedule 13:00:00 noop idle {"of": "c"} t t t`, "b schedule 13:00:00 success worked {} t t t")
	var n int
	if err := r.pool.QueryRow(t.Context(), "SELECT count(*)::int FROM pgtender.run WHERE backend_pid IS NULL").Scan(&n); err != nil || n != 4 {
		t.Errorf("%d runs had no session of their own (%v), want 4", n, err)
	}

	// A new daemon finds their times served.
	again := &desk{look: idle()}
	r = launch(t, url, c, nil, again.tasks("a", "b", "c")...)
	until(t, "it leads", func() bool { return !r.Status()[0].Next.IsZero() && r.Leadership().State == leader.Leading })
	r.halt()
	again.want(t, "", "")
}

func TestAGlanceThatFailsLeavesItToTheRuns(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(context.Context, []string) (map[string]jobs.Result, error){
		"error": func(context.Context, []string) (map[string]jobs.Result, error) { return nil, errPlanned },
		"panic": func(context.Context, []string) (map[string]jobs.Result, error) { panic("as planned") },
		"failure": func(context.Context, []string) (map[string]jobs.Result, error) {
			return map[string]jobs.Result{"a": {Outcome: jobs.Failure}, "b": {}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			d := &desk{look: look}
			r := launch(t, url, newClock("2026-08-05 12:02:30"), nil, d.tasks("a", "b")...)
			r.next()
			r.next()
			r.halt()
			d.want(t, "a+b", "a b")
			wantRows(t, url, "outcome, summary", "success worked", "success worked")
		})
	}
	t.Run("ledger", func(t *testing.T) { // the first row cannot be written, the runs' own can
		t.Parallel()
		url := pgtest.Database(t)
		d := &desk{look: idle()}
		r := launch(t, url, newClock("2026-08-05 12:02:30"), nil, d.tasks("a", "b")...)
		r.next()
		r.next()
		r.halt()
		pgtest.Exec(t, url, "ALTER TABLE pgtender.run ADD CONSTRAINT test CHECK (outcome IS DISTINCT FROM 'noop') NOT VALID")
		r = launch(t, url, newClock("2026-08-05 13:02:30"), nil, d.tasks("a", "b")...)
		r.next()
		r.next()
		r.halt()
		d.want(t, "a+b a+b", "a b")
	})
}

func TestStoppedDuringAGlance(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	begun := make(chan struct{})
	d := &desk{look: func(ctx context.Context, _ []string) (map[string]jobs.Result, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	r := launch(t, url, newClock("2026-08-05 12:02:30"), func(o *jobs.Options) { o.Grace = 1 }, d.tasks("a", "b")...)
	await(t, "the look", begun)
	r.halt()
	d.want(t, "a+b", "")
	wantRows(t, url, "outcome") // the next daemon catches up
}

func TestOnceGlancesToo(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	d := &desk{look: idle("b")}
	r := assemble(t, url, newClock("2026-08-05 12:02:30"), nil, d.tasks("a", "b", "c", "d")...)
	reports, err := r.RunOnce(t.Context(), jobs.Once{Filter: func(t jobs.Task) bool { return t.Target != "d" }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rep := range reports {
		got = append(got, fmt.Sprint(rep.Task.Target, rep.Result.Outcome, rep.Run > 0))
	}
	if fmt.Sprint(got) != "[anooptrue bsuccesstrue cnooptrue]" {
		t.Error(got)
	}
	d.want(t, "a+b+c", "b")
	wantRows(t, url, "target, trigger, outcome, covered_until = started_at", "a manual noop t", "c manual noop t", "b manual success t")
	if _, err := r.RunOnce(t.Context(), jobs.Once{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	d.want(t, "a+b+c", "a b b c d") // a dry run is told by the runs themselves
}

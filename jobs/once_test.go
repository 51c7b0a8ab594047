package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

func TestRunOnceRunsInOrderAndGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first := task("partition", "public.a", "@hourly", func(_ context.Context, run *jobs.Run) (jobs.Result, error) {
		run.Say("looking at %s", "public.a")
		return jobs.Result{}, errPlanned
	})
	first.Order = 10
	second := task("refresh", "public.v", "@hourly", succeed)
	second.Order = 30
	r := assemble(t, url, nil, nil, second, first, task("left out", "", "@hourly", succeed))
	var said []string
	reports, err := r.RunOnce(t.Context(), jobs.Once{
		Filter: func(t jobs.Task) bool { return t.Job != "left out" },
		Say:    func(t jobs.Task, line string) { said = append(said, t.Job+": "+line) },
		Ended: func(rep jobs.Report) {
			said = append(said, fmt.Sprint(rep.Task.Job, " ", rep.Result.Outcome, " ", rep.Err))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 2 || !errors.Is(reports[0].Err, errPlanned) || reports[1].Err != nil || reports[1].Run == 0 {
		t.Errorf("%+v", reports)
	}
	if got := strings.Join(said, "|"); got != "partition: looking at public.a|partition failure as planned|refresh success <nil>" {
		t.Errorf("said %s", got)
	}
	wantRows(t, url, "job, target, trigger, scheduled_for IS NULL, outcome, covered_until = started_at",
		"partition public.a manual t failure", "refresh public.v manual t success t")
}

func TestADryRunLeavesNoTrace(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	r := assemble(t, url, nil, nil, task("partition", "public.a", "@hourly", func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
		if !run.DryRun {
			return jobs.Result{}, errors.New("not a dry run")
		}
		if run.Commit(ctx, nil, jobs.Result{}) == nil {
			return jobs.Result{}, errors.New("committed")
		}
		return jobs.Result{Summary: "would do nothing"}, nil
	}))
	reports, err := r.RunOnce(t.Context(), jobs.Once{DryRun: true})
	if err != nil || len(reports) != 1 || reports[0].Err != nil || reports[0].Result.Outcome != jobs.Noop {
		t.Errorf("%+v, %v", reports, err)
	}
	pgtest.Eventually(t, url, "SELECT to_regnamespace('pgtender') IS NULL")
}

func TestABusyObjectIsSkippedAndNamed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	other, err := leader.Open(t.Context(), url, ": archive public.a", leader.Pulse{Ping: time.Second, Deadline: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got, err := other.TryLock(t.Context(), jobs.ObjectLock("public.a")); err != nil || !got {
		t.Fatal(got, err)
	}
	tk := task("partition", "public.a", "@hourly", succeed)
	tk.Locks = []string{"public.b", "public.a"}
	r := assemble(t, url, nil, func(o *jobs.Options) { o.LockWait = 100 * time.Millisecond }, tk)
	reports, err := r.RunOnce(t.Context(), jobs.Once{})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("busy: public.a is being worked on by pgtender: archive public.a (server process %d)", other.PID())
	if got := reports[0].Result; got.Outcome != jobs.Skipped || got.Summary != want {
		t.Errorf("got %+v, want %s", got, want)
	}
	wantRows(t, url, "outcome, summary", "skipped "+want)

	// It says for whom it waits, and goes on as soon as that has ended.
	core, _ := observer.New(zap.InfoLevel)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "waits for another" {
			other.Close()
		}
		return nil
	}))
	r = assemble(t, url, nil, func(o *jobs.Options) { o.Log = log }, tk)
	if reports, err = r.RunOnce(t.Context(), jobs.Once{}); err != nil || reports[0].Result.Outcome != jobs.Success {
		t.Errorf("when it is free again: %+v, %v", reports, err)
	}
}

func TestRunOnceStops(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := task("a", "", "@hourly", func(running context.Context, _ *jobs.Run) (jobs.Result, error) {
		cancel()
		<-running.Done()
		return jobs.Result{}, running.Err()
	})
	r := assemble(t, url, nil, func(o *jobs.Options) { o.Grace = 10 * time.Millisecond }, a, task("b", "public.x", "@hourly", succeed))
	reports, err := r.RunOnce(ctx, jobs.Once{})
	if len(reports) != 1 || err == nil || !strings.HasSuffix(err.Error(), "begun: b public.x") {
		t.Errorf("%+v, %v", reports, err)
	}
	wantRows(t, url, "job, outcome, error", "a failure stopped by shutdown; what it had not committed was rolled back")
}

func TestAPlainRoleSuffices(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	role := pgtest.Role(t, url)
	r := assemble(t, role, nil, nil, task("a", "public.x", "@hourly", succeed))
	var lacks *state.PrivilegeError
	if _, err := r.RunOnce(t.Context(), jobs.Once{}); !errors.As(err, &lacks) {
		t.Fatalf("got %v", err)
	}
	pgtest.Exec(t, url, lacks.Grant)
	r = launch(t, role, newClock("2026-08-05 12:02:30"), nil, task("a", "public.x", "@hourly", succeed))
	if e := r.next(); e.Outcome != jobs.Success {
		t.Errorf("%+v", e)
	}
	r.halt()
}

package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
)

func TestTwoAppliersAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int, c int); CREATE INDEX i ON t (b)")
	p := d.plan(t)
	var mu sync.Mutex
	ran, already := 0, 0
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			o := d.options(p)
			o.RunnerWait = time.Minute
			report, err := apply.Run(t.Context(), o)
			mu.Lock()
			defer mu.Unlock()
			ran += report.Ran
			if report.Already {
				already++
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if ran != len(p.Statements) || already != 2 {
		t.Errorf("ran %d of %d statements, %d found it done", ran, len(p.Statements), already)
	}
	d.mustEqual(t)
}

func TestAnotherRunnerIsNamed(t *testing.T) {
	t.Parallel()
	d := open(t, "", "CREATE TABLE t (a int)")
	holder := pgtest.Session(t, d.url)
	if got, err := pg.TryLock(t.Context(), holder, "apply"); err != nil || !got {
		t.Fatal(got, err)
	}
	waited := false
	o := d.options(d.plan(t))
	o.RunnerWait = 300 * time.Millisecond
	o.Progress = func(e apply.Event) { waited = waited || e.Kind == apply.Waiting }
	_, err := apply.Run(t.Context(), o)
	var runner *apply.RunnerError
	if !errors.As(err, &runner) || !strings.Contains(runner.Holder, fmt.Sprintf("process %d, role postgres", holder.PgConn().PID())) {
		t.Fatalf("no RunnerError but %v", err)
	}
	if !waited {
		t.Error("nobody was told of the waiting")
	}
	if value[bool](t, d.conn, "SELECT to_regclass('public.t') IS NOT NULL") {
		t.Error("the plan ran")
	}
}

// A reader that stays on the table makes the plan wait, with pauses in which others get at the table; when it leaves, the
// plan goes through.
func TestReaderDelaysButOthersPass(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)", "CREATE TABLE t (a int, b int); CREATE TABLE u (a int)")
	reader := pgtest.Session(t, d.url)
	exec(t, reader, "BEGIN; SELECT * FROM t")
	const timeout = 50 * time.Millisecond
	waits := make(chan struct{}, 1000)
	o := d.options(d.plan(t))
	o.Patience = pg.Patience{LockTimeout: timeout, Attempts: 1000, Pause: 20 * time.Millisecond, MaxPause: 100 * time.Millisecond}
	o.Progress = func(e apply.Event) {
		if e.Kind == apply.Waiting {
			waits <- struct{}{}
		}
	}
	done := make(chan error, 1)
	go func() { _, err := apply.Run(t.Context(), o); done <- err }()
	for range 5 {
		start := time.Now()
		exec(t, d.conn, "SELECT * FROM t")
		if took := time.Since(start); took > timeout+2*time.Second {
			t.Errorf("another reader waited for %s", took)
		}
		select {
		case <-waits:
		case err := <-done:
			t.Fatalf("the plan ended while the reader held the table: %v", err)
		}
	}
	if value[bool](t, d.conn, "SELECT to_regclass('public.u') IS NOT NULL") {
		t.Error("a part of the transaction was done")
	}
	exec(t, reader, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.mustEqual(t)
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int)")
	reader := pgtest.Session(t, d.url)
	exec(t, reader, "BEGIN; SELECT * FROM t")
	o := d.options(d.plan(t))
	o.Patience = pg.Patience{LockTimeout: 20 * time.Millisecond, Attempts: 3, Pause: time.Millisecond, MaxPause: time.Millisecond}
	report, err := apply.Run(t.Context(), o)
	var busy *pg.BusyError
	if !errors.As(err, &busy) || !strings.Contains(err.Error(), "Nothing was changed") || report.Waits != 3 {
		t.Fatalf("no BusyError but %v, %+v", err, report)
	}
	if state := value[string](t, d.conn, "SELECT state FROM pgtender.applied_plan"); state != "failed" {
		t.Errorf("journal: %s", state)
	}
}

func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int)")
	reader := pgtest.Session(t, d.url)
	exec(t, reader, "BEGIN; SELECT * FROM t")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := d.options(d.plan(t))
	o.Progress = func(e apply.Event) {
		if e.Kind == apply.Waiting {
			cancel()
		}
	}
	if _, err := apply.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("no cancellation but %v", err)
	}
	if state := value[string](t, d.conn, "SELECT state FROM pgtender.applied_plan"); state != "failed" {
		t.Errorf("journal: %s", state)
	}
}

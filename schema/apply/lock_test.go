package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// A reader stays open on a busy table, which an apply alters: each of the others, who read and write it without a pause, waits for one
// lock_timeout at most, and when the reader has left, the plan goes through. The reader stays for 1 s, with make soak for 30.
func TestBusyTable(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); INSERT INTO t SELECT g, 0 FROM generate_series(1, 1000) g",
		"CREATE TABLE t (id int PRIMARY KEY, n bigint NOT NULL, added int CHECK (added > 0)); CREATE INDEX t_n ON t (n)")
	reader := pgtest.Session(t, d.url)
	exec(t, reader, "BEGIN; SELECT count(*) FROM t")
	leave := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var transactions, longest atomic.Int64
	var load errgroup.Group
	for worker := range 4 {
		conn := pgtest.Session(t, d.url)
		load.Go(func() error {
			tick := time.NewTicker(20 * time.Millisecond) // 200 a second in all
			defer tick.Stop()
			for i := worker; ctx.Err() == nil; i += 7 {
				start := time.Now()
				if _, err := conn.Exec(context.WithoutCancel(ctx), "UPDATE public.t SET n = n + 1 WHERE id = $1", 1+i%1000); err != nil {
					return err
				}
				transactions.Add(1)
				for took := int64(time.Since(start)); ; {
					if was := longest.Load(); took <= was || longest.CompareAndSwap(was, took) {
						break
					}
				}
				<-tick.C
			}
			return nil
		})
	}
	o := d.options(d.plan(t))
	o.Patience = pg.Gentle
	o.Patience.Attempts = 1000
	var between []int64 // transactions of the others, at each wait
	stay := time.Duration(pgtest.Scaled(1, 30)) * time.Second
	o.Progress = func(e apply.Event) {
		if e.Kind == apply.Waiting {
			if len(between) == 0 { // from when the plan has met it
				time.AfterFunc(stay, func() { _, err := reader.Exec(context.WithoutCancel(ctx), "COMMIT"); leave <- err })
			}
			between = append(between, transactions.Load())
		}
	}
	start := time.Now()
	_, err := apply.Run(t.Context(), o)
	took := time.Since(start)
	cancel()
	if len(between) == 0 {
		t.Fatalf("the plan never met the reader: %v", err)
	}
	if err := errors.Join(err, <-leave, load.Wait()); err != nil {
		t.Fatal(err)
	}
	d.mustEqual(t)
	for i := range between[:max(len(between)-1, 0)] {
		if between[i] == between[i+1] {
			t.Errorf("nobody got through between wait %d and the next", i+1)
		}
	}
	if done := value[int64](t, d.conn, "SELECT sum(n) FROM public.t"); done != transactions.Load() {
		t.Errorf("%d of %d updates are there", done, transactions.Load())
	}
	t.Logf("a reader for %s: the plan took %s and met it %d times; of %d transactions beside it the slowest took %s, with a lock_timeout of %s",
		stay, took.Round(time.Millisecond), len(between), transactions.Load(), time.Duration(longest.Load()).Round(time.Millisecond), o.Patience.LockTimeout)
	// A machine that is busy with other things adds what it likes; to queue behind the plan until the reader leaves would add 30 s.
	if slack := 5 * time.Second; stay > 2*slack && time.Duration(longest.Load()) > o.Patience.LockTimeout+slack {
		t.Errorf("a transaction waited for %s", time.Duration(longest.Load()))
	}
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

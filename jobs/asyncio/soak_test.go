package asyncio

import (
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// TestSoakRealLoads tries io_workers under real reads from a real disk, at a pace near that of production. What it shows depends on the machine, so
// it belongs to make soak.
func TestSoakRealLoads(t *testing.T) {
	for range pgtest.Scaled(0, 1) {
		server := pgtest.PrivateOnDisk(t, "shared_buffers=32MB", "max_wal_size=4GB")
		l := &lab{t: t, server: server, url: pgtest.DatabaseOn(t, server)}
		library(t, l.url, 2_500_000)
		l.pool = pgtest.Pool(t, l.url)
		if err := state.Ensure(t.Context(), l.pool); err != nil {
			t.Fatal(err)
		}
		var data string
		if err := l.pool.QueryRow(t.Context(), "SELECT current_setting('data_directory')").Scan(&data); err != nil {
			t.Fatal(err)
		}
		stop := readers(t, l.url, 4, 400)
		defer stop()
		o := l.options()
		o.Samples, o.Every = 10, time.Second
		o.Pace = Pace{Pairs: 6, Window: 5 * time.Second, Settle: 2 * time.Second, Sample: 500 * time.Millisecond}

		warm := chill(t, l.url, data)
		r := l.soakRun(t, "cold reads", o)
		if r.Outcome != jobs.Success || !strings.HasPrefix(r.Summary, "kept io_workers = 4 instead of 3") {
			t.Errorf("cold reads: %+v", r)
		}
		warm()
		l.revert(true)
		l.forget()
		time.Sleep(20 * time.Second) // until the operating system has the table again

		r = l.soakRun(t, "cached reads", o)
		if r.Outcome == jobs.Success || l.shown("io_workers") != "3" {
			t.Errorf("cached reads: %+v", r)
		}
	}
}

func (l *lab) soakRun(t *testing.T, name string, o Options) jobs.Result {
	t.Helper()
	r, said, err := l.run(Tasks(declaresApply, o)[0])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Logf("%s: %s: %s\n%s", name, r.Outcome, r.Summary, strings.Join(said, "\n"))
	return r
}

// TestSoakEqualSides tries a value against itself under real cached reads, with all the noise of a shared machine.
func TestSoakEqualSides(t *testing.T) {
	rounds := pgtest.Scaled(0, 20)
	if rounds == 0 {
		return // TestJudgeOfEqualSides draws thousands
	}
	l := newLab(t)
	pgtest.Exec(t, l.url, "DROP TABLE public.big")
	library(t, l.url, 400_000)
	stop := readers(t, l.url, 2, 2000)
	defer stop()
	h, err := openHand(t.Context(), l.options().withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	p := Pace{Pairs: 8, Window: 1500 * time.Millisecond, Settle: 1100 * time.Millisecond, Sample: 500 * time.Millisecond, MinThroughput: 1e6}.withDefaults()
	kept := 0
	for i := range rounds {
		trial, err := h.try(t.Context(), p, 1, candidate{setting: "io_workers", to: "3", why: "equal sides"}, func(string, ...any) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d: %s", i+1, trial.Verdict.Reason)
		if trial.Kept {
			kept++
		}
	}
	t.Logf("%d of %d equal trials were kept", kept, rounds)
	if kept > 1 {
		t.Errorf("%d of %d equal trials were kept, at most 1 may be", kept, rounds)
	}
}

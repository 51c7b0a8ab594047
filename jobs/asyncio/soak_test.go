//go:build soak

package asyncio

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// TestSoakRealLoads tries io_workers under real reads from a real disk, at a pace near that of production. What it shows depends on the machine, so
// it belongs to make soak.
func TestSoakRealLoads(t *testing.T) {
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
	const rounds = 20
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

// readers read rows at random places until stop is called.
func readers(t testing.TB, url string, clients, span int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range clients {
		conn, err := pg.Dedicated(ctx, url, "")
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer conn.Close(context.WithoutCancel(ctx))
			_, _ = conn.Exec(ctx, "SET enable_indexscan = off; SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0")
			for ctx.Err() == nil {
				from := rand.IntN(1_000_000 - span)
				_, _ = conn.Exec(ctx, "SELECT sum(length(pad)) FROM public.big WHERE k BETWEEN $1 AND $2", from, from+span)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// chill has the operating system forget the table's pages, over and over, so that each read goes to the disk.
func chill(t testing.TB, url, data string) (stop func()) {
	t.Helper()
	var path string
	if err := pgtest.Session(t, url).QueryRow(t.Context(), "SELECT pg_relation_filepath('public.big')").Scan(&path); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			files, _ := filepath.Glob(filepath.Join(data, path) + "*")
			for _, name := range files {
				if strings.HasSuffix(name, "_vm") || strings.HasSuffix(name, "_fsm") {
					continue
				}
				if f, err := os.Open(name); err == nil {
					_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
					f.Close()
				}
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return func() { close(done); all.Wait() }
}

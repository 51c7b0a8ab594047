package asyncio

import (
	"context"
	"fmt"
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
)

// library makes a table that is much larger than the buffers of a private server.
func library(t testing.TB, url string, rows int) {
	t.Helper()
	pgtest.Exec(t, url,
		fmt.Sprintf("CREATE TABLE public.big AS SELECT i AS id, (random() * 1e6)::int AS k, repeat('x', 400) AS pad FROM generate_series(1, %d) i", rows),
		"CREATE INDEX ON public.big (k)", "VACUUM (ANALYZE) public.big", "CHECKPOINT")
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

package asyncio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func runJob(t *testing.T, pool *pgxpool.Pool, mode config.IOMode) (jobs.Result, []string, error) {
	t.Helper()
	env := &config.Env{IO: &config.IO{Mode: mode, Pos: config.Pos{File: "atlas.hcl", Line: 3, Column: 5}}}
	tasks := Tasks(env, Options{Pool: pool, Samples: 2, Every: time.Millisecond})
	if len(tasks) != 1 || tasks[0].Job != "io" {
		t.Fatalf("tasks: %+v", tasks)
	}
	var said []string
	r, err := tasks[0].Run(t.Context(), &jobs.Run{Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	return r, said, err
}

func TestJobObservesAndRecommends(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url+"&options=-ceffective_io_concurrency%3D1")
	r, said, err := runJob(t, pool, config.IOObserve)
	if err != nil || r.Outcome != jobs.Noop || !strings.HasPrefix(r.Summary, "observed: 2 samples") || r.Detail["advice"] != nil || len(said) > 0 {
		t.Errorf("observe: %+v %q %v", r, said, err)
	}
	r, said, err = runJob(t, pool, config.IORecommend)
	if err != nil || r.Outcome != jobs.Noop || !strings.Contains(r.Summary, "advice on effective_io_concurrency") {
		t.Errorf("recommend: %+v %v", r, err)
	}
	contains(t, said, "effective_io_concurrency")
	if r.Detail["settings"].(map[string]string)["effective_io_concurrency"] != "1" {
		t.Errorf("settings in the ledger: %v", r.Detail["settings"])
	}
}

func TestObserveSeesReads(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE public.big AS SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i")
	pool := pgtest.Pool(t, url)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pgtest.Exec(t, url, "SELECT pg_stat_force_next_flush(); SELECT count(*) FROM public.big")
	}()
	e, err := Observe(t.Context(), pool, 3, 20*time.Millisecond)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if !e.Seen || e.Samples != 3 || e.TotalReads == 0 || e.MeanRead() < 8192 {
		t.Errorf("evidence: %+v", e)
	}
	contains(t, e.String(), "3 samples in 40ms", "I/O workers busy")

	blind, err := Observe(t.Context(), pgtest.Pool(t, pgtest.Role(t, url)), 2, time.Millisecond)
	if err != nil || blind.Seen {
		t.Errorf("unprivileged: %+v %v", blind, err)
	}
	contains(t, blind.String(), "hidden from this role")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Observe(ctx, pool, 2, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// A union of both sees the same rows in every sample and in every way of asking, while partitions move and a writer writes.
func TestReadersSeeEveryRowOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+`CREATE VIEW public.all_rows AS SELECT id, at FROM public.t UNION ALL SELECT id, at FROM public.t_archive`)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	samples := make([]int, 5)
	old := fmt.Sprintf("at < '%s'", b.one("SELECT public.month(0)::text"))
	for i, query := range []string{
		"SELECT count(*), count(DISTINCT id) FROM (SELECT id, at FROM public.t UNION ALL SELECT id, at FROM public.t_archive) x WHERE " + old,
		"SELECT count(*), count(DISTINCT id) FROM (SELECT id, at FROM public.t_archive UNION ALL SELECT id, at FROM public.t) x WHERE " + old,
		"SELECT count(*), count(DISTINCT id) FROM public.all_rows WHERE " + old,
		"EXECUTE planned",
		"repeatable read",
	} {
		conn := b.connect()
		b.execOn(conn, "SET plan_cache_mode = force_generic_plan; PREPARE planned AS SELECT count(*), count(DISTINCT id) FROM public.all_rows WHERE "+old)
		wg.Go(func() {
			for ctx.Err() == nil {
				var n, distinct int
				q := query
				if query == "repeatable read" { // a snapshot older than the move, tables first met after it
					b.execOn(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM public.m LIMIT 1; SELECT pg_sleep(0.02)")
					q = "SELECT count(*), count(DISTINCT id) FROM public.all_rows WHERE " + old
				}
				if err := conn.QueryRow(context.WithoutCancel(ctx), q).Scan(&n, &distinct); err != nil || n != 1600 || distinct != 1600 {
					t.Errorf("%s: %d rows, %d different: %v", query, n, distinct, err)
					return
				}
				pause := 2 * time.Millisecond
				if query == "repeatable read" {
					b.execOn(conn, "COMMIT")
					pause = 50 * time.Millisecond
				}
				samples[i]++
				time.Sleep(pause)
			}
		})
	}
	writer := b.connect()
	written := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			b.execOn(writer, "INSERT INTO public.t (at, m, a) VALUES (now(), 1, 1)")
			written++
			time.Sleep(2 * time.Millisecond)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for len(b.children("t_archive")) < 4 && time.Now().Before(deadline) {
		var busy *pg.BusyError // as it may be on a slow machine: then again
		if _, err := b.run(policy("t")); err != nil && !errors.As(err, &busy) {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	if got := len(b.children("t_archive")); got != 4 {
		t.Errorf("%d partitions moved", got)
	}
	for i, n := range samples {
		if n < 3 {
			t.Errorf("only %d samples of kind %d", n, i)
		}
	}
	if got, want := b.one("SELECT count(*)::text FROM public.all_rows"), fmt.Sprint(1700+written); got != want {
		t.Errorf("%s rows, want %s", got, want)
	}
}

// A long reader makes the proof and the move wait, and nobody else: a lock is asked for only so long.
func TestALongReaderHoldsUpTheMoveOnly(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]string{
		"before the proof": "",
		"before the move": `DO $$ BEGIN FOR i IN 13..16 LOOP
			EXECUTE format('ALTER TABLE public.m%s ADD CONSTRAINT pgtender_bounds CHECK (%s)', i, pg_get_partition_constraintdef(('public.m' || i)::regclass)); END LOOP; END $$`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, liveTable+setup)
			reader, writer := b.connect(), b.connect()
			b.execOn(reader, "SET application_name = 'the reader'; BEGIN; SELECT count(*)    FROM public.t")
			done := make(chan error)
			said := &record{}
			go func() {
				_, err := b.job.Run(t.Context(), said.run(false), policy("t"))
				done <- err
			}()
			var worst time.Duration
			for begun := time.Now(); time.Since(begun) < 2*time.Second; {
				at := time.Now()
				b.execOn(writer, "INSERT INTO public.t (at, m, a) VALUES (now(), 1, 1)")
				worst = max(worst, time.Since(at))
			}
			// The lock_timeout of 100 ms, and what a busy machine adds.
			if worst > 600*time.Millisecond {
				t.Errorf("a writer waited %v", worst)
			}
			if got := b.children("t_archive"); len(got) != 0 {
				t.Errorf("moved beside the reader: %v", got)
			}
			waits := strings.Count(said.text(), ", the reader, ") // others come and go
			for _, word := range []string{"waits for a lock on public.", ": held by pid ", "the reader, idle in transaction, in its transaction since 20", ": SET application_name = 'the reader'; BEGIN; SELECT count(*) FROM public.t)"} {
				if waits != 1 || !strings.Contains(said.text(), word) {
					t.Errorf("%q is not said once: %s", word, said.text())
				}
			}
			b.execOn(reader, "COMMIT")
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := b.children("t_archive"); len(got) != 4 {
				t.Errorf("archived %v", got)
			}
		})
	}
}

// A hundred whole moves (in make test, some of them), with long readers, a reader whose snapshot is older than what it meets, and a writer: every
// sample of the union has every row.
func TestAHundredMoves(t *testing.T) {
	t.Parallel()
	days := pgtest.Scaled(12, 100)
	b := newBench(t, fmt.Sprintf(`
		CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
		CREATE TABLE public.t_now PARTITION OF public.t FOR VALUES FROM ('2025-01-01 00:00+00') TO (MAXVALUE);
		DO $$ BEGIN FOR i IN 0..%d LOOP CALL public.part('t', 'd' || i, '2020-01-01 00:00+00'::timestamptz + i * interval '1 day', '2020-01-02 00:00+00'::timestamptz + i * interval '1 day'); END LOOP; END $$;
		INSERT INTO public.t (at) SELECT '2020-01-01 00:00+00'::timestamptz + i * interval '1 hour' FROM generate_series(0, %d) i`, days-1, 24*days-1))
	const union = "SELECT count(*), count(DISTINCT id) FROM (SELECT id, at FROM public.t UNION ALL SELECT id, at FROM public.t_archive) x WHERE at < '2025-01-01 00:00+00'"
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	samples := make([]int, 3)
	for i, begin := range []string{"", "BEGIN; SELECT FROM public.t LIMIT 1; SELECT pg_sleep(0.3)", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(0.3)"} {
		conn := b.connect()
		wg.Go(func() {
			for ctx.Err() == nil {
				b.execOn(conn, begin)
				var n, distinct int
				if err := conn.QueryRow(context.WithoutCancel(ctx), union).Scan(&n, &distinct); err != nil || n != 24*days || distinct != n {
					t.Errorf("%q: %d rows, %d different: %v", begin, n, distinct, err)
					return
				}
				if samples[i]++; begin != "" {
					b.execOn(conn, "COMMIT")
				}
			}
		})
	}
	writer := b.connect()
	wg.Go(func() {
		for ctx.Err() == nil {
			b.execOn(writer, "INSERT INTO public.t (at) VALUES (now())")
			time.Sleep(2 * time.Millisecond)
		}
	})
	for deadline := time.Now().Add(5 * time.Minute); len(b.children("t_archive")) < days && time.Now().Before(deadline); {
		var busy *pg.BusyError
		if _, err := b.run(policy("t")); err != nil && !errors.As(err, &busy) {
			t.Error(err)
			break
		}
	}
	stop()
	wg.Wait()
	if got := len(b.children("t_archive")); got != days {
		t.Errorf("%d partitions moved", got)
	}
	for i, n := range samples {
		if n < 3 {
			t.Errorf("only %d samples of kind %d", n, i)
		}
	}
}

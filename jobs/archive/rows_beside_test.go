package archive

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// Writers insert with old times, make rows old and young again, and delete them, all while rows move; samples of the union are whole.
func TestRowsMoveBesideWriters(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable+"CREATE TABLE public.ledger (id bigint PRIMARY KEY, live bool NOT NULL); INSERT INTO public.ledger SELECT id, true FROM public.t")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		conn := b.connect()
		wg.Go(func() {
			for ctx.Err() == nil {
				id := 1 + rand.IntN(1200)
				ago := rand.IntN(40) - 20
				var err error
				switch rand.IntN(4) {
				case 0:
					_, err = conn.Exec(context.WithoutCancel(ctx), "WITH new AS (INSERT INTO public.t (at, m) VALUES (public.year_ago($1), 1) RETURNING id) INSERT INTO public.ledger SELECT id, true FROM new", ago)
				case 1: // within its partition or to another one
					_, err = conn.Exec(context.WithoutCancel(ctx), "UPDATE public.t SET at = public.year_ago($2) + interval '1 second', note = 'changed' WHERE id = $1", id, ago)
				case 2:
					_, err = conn.Exec(context.WithoutCancel(ctx), "WITH gone AS (DELETE FROM public.t WHERE id = $1 RETURNING id) UPDATE public.ledger l SET live = false FROM gone WHERE l.id = gone.id", id)
				default:
					_, err = conn.Exec(context.WithoutCancel(ctx), "UPDATE public.t SET note = note || '.' WHERE id = $1", id)
				}
				// No partition any more for a time, or the row changed hands: as beside any other DDL.
				if err != nil && !strings.Contains(err.Error(), "no partition of relation") && !strings.Contains(err.Error(), "moved to another partition") {
					t.Error(err)
					return
				}
			}
		})
	}
	reader := b.connect()
	samples := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			var different int
			err := reader.QueryRow(context.WithoutCancel(ctx), `SELECT count(*) FROM (SELECT id FROM public.t UNION ALL SELECT id FROM public.t_archive) x FULL JOIN (SELECT id FROM public.ledger WHERE live) l USING (id)
				WHERE x.id IS NULL OR l.id IS NULL`).Scan(&different)
			if err != nil || different != 0 {
				t.Errorf("%d rows missing or surplus: %v", different, err)
				return
			}
			samples++
		}
	})
	for range pgtest.Scaled(30, 500) {
		if _, err := b.run(byRow("t")); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	if samples < 10 {
		t.Errorf("only %d samples", samples)
	}
	if got := b.one("SELECT count(*) - count(DISTINCT id) || ' ' || (SELECT count(*) FROM public.ledger WHERE live) - count(*) FROM (SELECT id FROM public.t UNION ALL SELECT id FROM public.t_archive) x"); got != "0 0" {
		t.Errorf("doubled, missing: %s", got)
	}
	if got, want := b.one("SELECT count(*)::text FROM public.t_archive"), b.one("SELECT sum(rows)::text FROM pgtender.archived_partition"); got != want {
		t.Errorf("%s rows archived, %s noted", got, want)
	}
}

// A row that somebody holds is waited for a moment, then left to the next run, with its neighbours at most.
func TestAHeldRowIsLeftBehind(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	b.mustRun(policy("t"))
	holder := b.connect()
	b.execOn(holder, "BEGIN; UPDATE public.t_cut SET note = 'mine' WHERE id = 570")
	r, err := b.run(byRow("t"))
	if err != nil || !strings.Contains(r.Summary, "left 1 stretch for the next run") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.one("SELECT (count(*) BETWEEN 1 AND 10)::text FROM public.t_cut WHERE at < now() - interval '1 year'"); got != "true" {
		t.Error("too many rows were left")
	}
	b.execOn(holder, "COMMIT")
	b.mustRun(byRow("t"))
	if got := b.one(counts); got != "600 600 600" {
		t.Errorf("live, archived, noted: %s", got)
	}
	if got := b.one("SELECT note FROM public.t_archive WHERE id = 570"); got != "mine" {
		t.Errorf("the change is lost: %s", got)
	}
}

// What others do to rows of a batch between its copy and its DELETE takes the batch back as a whole: the rows are moved as they are then, or
// not at all.
func TestRowsChangedWhileTheyAreCopied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ meanwhile, want, note string }{
		"updated":         {"UPDATE public.t SET note = 'changed' WHERE id = 570", "600 600 600", "changed"},
		"leaves for good": {"UPDATE public.t SET at = public.year_ago(20) WHERE id = 570", "601 599 599", ""},
		"deleted":         {"DELETE FROM public.t WHERE id = 570", "600 599 599", ""},
		"inserted":        {"INSERT INTO public.t (id, at, note) OVERRIDING SYSTEM VALUE SELECT 5000, at, 'new' FROM public.t WHERE id = 570", "600 601 601", "row 569"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rowTable)
			b.mustRun(policy("t"))
			once := sync.Once{}
			acted := false
			other := b.connect()
			job, end, err := fused(t.Context(), b.url, &fuse{watch: func(sql string) {
				if strings.Contains(sql, "DELETE FROM ONLY") {
					once.Do(func() { b.execOn(other, c.meanwhile); acted = true })
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer end()
			for range 2 { // what came too late for the first is taken by the second
				if _, err := job.Run(t.Context(), (&record{}).run(false), byRow("t")); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.one(counts); got != c.want || !acted {
				t.Errorf("live, archived, noted: %s, want %s (acted: %v)", got, c.want, acted)
			}
			if got := b.one("SELECT coalesce(max(note), '') FROM public.t_archive WHERE id = 570"); got != c.note {
				t.Errorf("note %q, want %q", got, c.note)
			}
			if err := Verify(t.Context(), b.pool, "", "", func(v Verdict) {
				if v.Bad() {
					t.Errorf("%+v", v)
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Stopped between two batches: what has moved is where it belongs and noted, and the next run goes on.
func TestRowsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	b.mustRun(policy("t"))
	holder := b.connect()
	b.execOn(holder, "BEGIN; SELECT FROM public.t_cut WHERE id = 570 FOR UPDATE")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := b.job.Run(ctx, (&record{}).run(false), byRow("t"))
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE '%DELETE FROM ONLY%' AND datname = current_database())")
	cancel()
	err := <-done
	var stopped *parts.Stopped
	if !errors.As(err, &stopped) {
		t.Errorf("%v", err)
	}
	b.execOn(holder, "ROLLBACK")
	b.mustRun(byRow("t"))
	if got := b.one(counts); got != "600 600 600" {
		t.Errorf("live, archived, noted: %s", got)
	}
}

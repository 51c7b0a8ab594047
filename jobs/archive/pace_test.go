package archive

import (
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// So many rows of one time that no batch could take them all: the key tells them apart.
func TestManyRowsOfOneTime(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": "PRIMARY KEY", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE public.t (id bigint `+key+`, at date); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
				INSERT INTO public.t SELECT i, '2020-01-01' FROM generate_series(1, 300) i; INSERT INTO public.t SELECT i, current_date FROM generate_series(301, 400) i;
				CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.003); RETURN old; END';
				CREATE TRIGGER slow BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow()`)
			p := plainPolicy()
			p.FireTriggers = true
			r, err := b.run(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.one(counts); got != "100 300 300" {
				t.Errorf("live, archived, noted: %s (%+v)", got, r)
			}
		})
	}
}

// No transaction takes a second, whatever a row costs.
func TestBatchesAdapt(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
		INSERT INTO public.t SELECT i, now() - interval '2 years' FROM generate_series(1, 400) i;
		CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.005); RETURN old; END';
		CREATE TRIGGER slow BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow()`)
	p := plainPolicy()
	p.FireTriggers = true
	r, err := b.run(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.one(counts); got != "0 400 400" {
		t.Errorf("live, archived, noted: %s", got)
	}
	if list, ok := r.Detail["by_row"].([]map[string]any); !ok || len(list) != 1 || list[0]["batches"].(int) < 4 || list[0]["batch_rows"].(int) > 200 {
		t.Errorf("%+v", r.Detail)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := newPace(0)
	for range 20 {
		p.took(time.Millisecond)
	}
	if p.rows != mostBatch {
		t.Errorf("fast: %d", p.rows)
	}
	p.took(time.Second)
	if p.rows != mostBatch/2 {
		t.Errorf("slow: %d", p.rows)
	}
	for p.tooMuch() {
	}
	if p.rows != leastBatch {
		t.Errorf("least: %d", p.rows)
	}
	if p := newPace(1 << 20); p.rows != 32 {
		t.Errorf("of a megabyte each: %d", p.rows)
	}
}

// A standby that does not keep up is waited for.
func TestAStandbyIsWaitedFor(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	standby := pgtest.Standby(t, primary)
	url := pgtest.DatabaseOn(t, primary)
	pgtest.Exec(t, url, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz, pad text); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
		INSERT INTO public.t SELECT i, '2020-01-01 00:00+00'::timestamptz + i * interval '1 second', repeat('x', 500) FROM generate_series(1, 8000) i`)
	pgtest.Eventually(t, primary.URL("postgres"), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn())")
	pool := pgtest.Pool(t, url)
	if err := state.Ensure(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_pause()")
	job := New(pool, time.UTC)
	job.LagBytes = 1 << 17
	rec := &record{}
	done := make(chan error, 1)
	go func() {
		_, err := job.Run(t.Context(), rec.run(false), plainPolicy())
		done <- err
	}()
	pgtest.Eventually(t, url, "SELECT count(*) > 0 FROM public.t_archive")
	pgtest.Eventually(t, primary.URL("postgres"), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 131072)")
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(time.Second):
	}
	pgtest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_resume()")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := ask(t, url, counts); got != "0 8000 8000" {
		t.Errorf("live, archived, noted: %s", got)
	}
}

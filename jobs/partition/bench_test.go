package partition

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const parents = 50

// parentsWith makes 50 tables with two years of months each, the present one included, and the policies that want ahead more.
func parentsWith(b *testing.B, ahead int) (*pgxpool.Pool, []config.Partition) {
	b.Helper()
	url := pgtest.Database(b)
	pgtest.Exec(b, url, monthSQL, `DO $$ BEGIN FOR i IN 1..50 LOOP
		EXECUTE format('CREATE TABLE public.t%s (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, x text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)', i);
		EXECUTE format('CREATE INDEX ON public.t%s (at)', i);
		FOR j IN 0..23 LOOP CALL public.part('t' || i, 't' || i || '_' || j, public.month(-j), public.month(1 - j)); END LOOP;
		COMMIT; END LOOP; END $$`)
	pool, err := pg.Open(b.Context(), url, 2)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	var policies []config.Partition
	for i := range parents {
		policies = append(policies, policy(fmt.Sprintf("t%d", i+1), config.Month, ahead))
	}
	return pool, policies
}

// One pass over 50 tables when nothing is to do.
func BenchmarkNothingToDo(b *testing.B) {
	pool, policies := parentsWith(b, 0)
	job := New(pool, time.UTC)
	for b.Loop() {
		if r, err := job.Run(b.Context(), (&record{}).run(false), policies...); err != nil || r.Outcome != "noop" {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}

// The same server asked once for every partition's bounds: what a pass is measured against.
func BenchmarkOneCatalogQuery(b *testing.B) {
	pool, _ := parentsWith(b, 0)
	for b.Loop() {
		var n int
		if err := pool.QueryRow(b.Context(), `SELECT count(pg_get_expr(c.relpartbound, c.oid)) FROM pg_partitioned_table p JOIN pg_inherits i ON i.inhparent = p.partrelid JOIN pg_class c ON c.oid = i.inhrelid`).Scan(&n); err != nil || n != 24*parents {
			b.Fatal(n, err)
		}
	}
}

// Four months more for each of 50 tables.
func BenchmarkCreate200(b *testing.B) {
	for range b.N {
		b.StopTimer()
		pool, policies := parentsWith(b, 4)
		job := New(pool, time.UTC)
		b.StartTimer()
		if _, err := job.Run(b.Context(), (&record{}).run(false), policies...); err != nil {
			b.Fatal(err)
		}
	}
}

// The same by CREATE TABLE … PARTITION OF, one statement and one transaction each.
func BenchmarkPartitionOf200(b *testing.B) {
	for range b.N {
		b.StopTimer()
		pool, _ := parentsWith(b, 4)
		now := time.Now().UTC()
		month := func(n int) string {
			return time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
		}
		b.StartTimer()
		for i := range parents {
			for j := 1; j <= 4; j++ {
				sql := fmt.Sprintf("CREATE TABLE public.t%d_ahead%d PARTITION OF public.t%d FOR VALUES FROM ('%s') TO ('%s')", i+1, j, i+1, month(j), month(j+1))
				if _, err := pool.Exec(context.WithoutCancel(b.Context()), sql); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

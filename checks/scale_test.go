package checks

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// BenchmarkRound is one round of every check of 300 tables, one after the other, against the obvious alternative: three queries of each
// table, for its statistics, its indexes and its constraints. What the server spends is what it says itself, of all sessions.
func BenchmarkRound(b *testing.B) {
	url := pgtest.Database(b)
	pool, err := pg.Open(b.Context(), url, 2)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	if err := state.Ensure(b.Context(), pool); err != nil {
		b.Fatal(err)
	}
	pgtest.Exec(b, url, `DO $$ BEGIN
		FOR i IN 1..290 LOOP
		  EXECUTE format('CREATE TABLE public.plain_%s (id serial PRIMARY KEY, a text, b int REFERENCES public.plain_%s, at timestamptz DEFAULT now())', i, greatest(i - 1, 1));
		  EXECUTE format('CREATE INDEX ON public.plain_%s (a, at)', i);
		END LOOP;
		FOR i IN 1..10 LOOP
		  EXECUTE format('CREATE TABLE public.kept_%s (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)', i);
		  EXECUTE format('CREATE TABLE public.kept_%s_archive (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)', i);
		  FOR d IN -30..20 LOOP
		    EXECUTE format('CREATE TABLE public.kept_%1$s_%2$s PARTITION OF public.kept_%1$s FOR VALUES FROM (%3$L) TO (%4$L)', i, d + 30, current_date + d, current_date + d + 1);
		  END LOOP;
		END LOOP; END $$`, "ANALYZE")
	env := &config.Env{Schemas: []string{"public"}, Daemon: config.Daemon{Location: time.UTC}}
	for i := 1; i <= 10; i++ {
		table, into := public(fmt.Sprintf("kept_%d", i)), public(fmt.Sprintf("kept_%d_archive", i))
		env.Partitions = append(env.Partitions, config.Partition{Table: table, Interval: config.Day, Ahead: 20, Schedule: schedule(b, "@hourly")})
		env.Archives = append(env.Archives, config.Archive{Table: table, Into: into, Partitioned: true, Interval: config.Day, After: interval(b, "60 days"), Schedule: schedule(b, "@daily")})
	}
	all, err := All(env, Sources{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("checks", func(b *testing.B) {
		spent(b, url, func(pool Beginner) {
			for _, r := range NewCollector(Options{Pool: pool, Checks: all, Parallel: 1}).Once(b.Context()) {
				if r.Err != nil {
					b.Errorf("%s: %v", r.Check, r.Err)
				}
			}
		})
	})
	b.Run("query-per-table", func(b *testing.B) {
		spent(b, url, func(pool Beginner) { perTable(b, pool) })
	})
}

const rounds = 10

// spent reports the server's time for one round: the second one and those after it, as a daemon's are.
func spent(b *testing.B, url string, round func(pool Beginner)) {
	b.Helper()
	pool, err := pg.Open(b.Context(), url, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	pid := conn.Conn().PgConn().PID()
	conn.Release()
	active := func() (ms float64) { // what a session has spent it tells when it is idle
		pgtest.Exec(b, url, "SELECT pg_stat_force_next_flush()")
		if _, err := pool.Exec(b.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			b.Fatal(err)
		}
		pgtest.Eventually(b, url, "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $1", pid)
		if err := pool.QueryRow(b.Context(), "SELECT active_time FROM pg_stat_database WHERE datname = current_database()").Scan(&ms); err != nil {
			b.Fatal(err)
		}
		return ms
	}
	for b.Loop() {
		round(pool)
		before := active()
		for range rounds {
			round(pool)
		}
		b.ReportMetric((active()-before)/rounds, "server-ms/round")
	}
}

func perTable(b *testing.B, pool Beginner) {
	b.Helper()
	tx, err := pool.BeginTx(b.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback(b.Context())
	rows, err := tx.Query(b.Context(), "SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relispartition, oid LIMIT 300")
	if err != nil {
		b.Fatal(err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		b.Fatal(err)
	}
	for _, oid := range oids {
		for _, sql := range []string{
			"SELECT n_live_tup, n_dead_tup, last_analyze, last_autoanalyze, pg_table_size(relid) FROM pg_stat_user_tables WHERE relid = $1",
			"SELECT indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1",
			"SELECT conname, convalidated, conenforced, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1",
		} {
			if _, err := tx.Exec(b.Context(), sql, oid); err != nil {
				b.Fatal(err)
			}
		}
	}
}

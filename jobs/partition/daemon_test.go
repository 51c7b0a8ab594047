package partition

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

type watcher chan jobs.Result

func (w watcher) Finished(_ jobs.Task, r jobs.Result, _ error, _ time.Duration) { w <- r }

// passOf is what a daemon's pass over n tables, with nothing to do, asks of its database.
func passOf(t *testing.T, n int) (transactions, sessions int) {
	t.Helper()
	b := newBench(t, "")
	env := &config.Env{Daemon: config.Daemon{Location: time.UTC}}
	schedule, err := cron.ParseStandard("@yearly")
	if err != nil {
		t.Fatal(err)
	}
	var ddl strings.Builder
	for i := range n {
		p := policy(fmt.Sprintf("t%02d", i), config.Month, 1)
		p.Schedule = config.Schedule{Schedule: schedule, Text: "@yearly"}
		env.Partitions = append(env.Partitions, p)
		fmt.Fprintf(&ddl, "CREATE TABLE %s (at timestamptz) PARTITION BY RANGE (at);", ident(p.Table))
	}
	b.exec(ddl.String())
	b.mustRun(env.Partitions...)
	if err := state.Ensure(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.pool.Close()
	b.conn.Close(t.Context())

	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	name := pg.Literal(strings.TrimPrefix(u.Path, "/"))
	count := func() (x, s int) {
		// A session that has ended has told what it did.
		other := pgtest.Database(t)
		pgtest.Eventually(t, other, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = "+name+")")
		pool := pgtest.Pool(t, other)
		if err := pool.QueryRow(t.Context(), "SELECT xact_commit + xact_rollback, sessions FROM pg_stat_database WHERE datname = "+name).Scan(&x, &s); err != nil {
			t.Fatal(err)
		}
		return x, s
	}
	x, s := count()
	pool, err := pg.Open(t.Context(), b.url, 4)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(watcher, n)
	r, err := jobs.NewRunner(jobs.Options{URL: b.url, Pool: pool, Observer: ended, Look: time.Hour}, Tasks(env, pool))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for range n {
		if got := <-ended; got.Outcome != jobs.Noop || !strings.HasPrefix(got.Summary, "nothing to do, covered until ") {
			t.Errorf("%+v", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	pool.Close()
	x2, s2 := count()
	return x2 - x, s2 - s
}

// A daemon that comes to lead finds all tables due at once.
func TestADaemonsPassOverIdleTablesIsAConstantNumberOfQueries(t *testing.T) {
	t.Parallel()
	few, fewSessions := passOf(t, 5)
	many, manySessions := passOf(t, 50)
	t.Logf("5 tables: %d transactions in %d sessions; 50 tables: %d in %d", few, fewSessions, many, manySessions)
	// A ping of the leader, or a look at the ledger, may come in between.
	if many > few+10 || manySessions > fewSessions+2 {
		t.Errorf("50 idle tables took %d transactions in %d sessions, 5 took %d in %d", many, manySessions, few, fewSessions)
	}
}

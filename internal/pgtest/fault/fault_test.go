package fault_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/pgtest/fault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// count is how many rows the table t has.
func count(t *testing.T, url string) (n int) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever the protocol, a statement is seen once, with its text; preparing it is none.
func TestStatementsAreCounted(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	p := fault.New(t, url)
	conn := connect(t, p.URL())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeCacheStatement} {
		for range 2 {
			var n int
			if err := conn.QueryRow(t.Context(), "SELECT 40 + $1::int", mode, 2).Scan(&n); err != nil || n != 42 {
				t.Fatalf("%v: %d, %v", mode, n, err)
			}
		}
	}
	var batch pgx.Batch
	batch.Queue("SELECT 1")
	batch.Queue("SELECT 2")
	if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	seen := p.Seen()
	if len(seen) != 10 || seen[0].Text != fault.Connect || seen[9].Text != "SELECT 1; SELECT 2" || seen[8].Text != "SELECT 40 + $1::int" || seen[8].Nth != 6 {
		t.Errorf("%d statements: %+v", len(seen), seen)
	}
}

func TestFaultsAtAStatement(t *testing.T) {
	t.Parallel()
	const insert = "INSERT INTO t VALUES (1)"
	for _, c := range []struct {
		fault.Fault
		code string // "": the connection breaks
		rows int
	}{
		{fault.Fault{Name: "cut before", Then: fault.Cut}, "", 0},
		{fault.Fault{Name: "cut after", When: fault.After, Then: fault.Cut}, "", 1},
		{fault.Error("disk full", "53100"), "53100", 0},
		{fault.Terminated(), "57P01", 0},
	} {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			pgtest.Exec(t, url, "CREATE TABLE t (a int)")
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
				pgtest.Exec(t, url, "TRUNCATE t")
				p := fault.New(t, url)
				did := 0
				c.Do = func(fault.Statement) { did++ }
				rule := p.At(fault.Like(insert, 1), c.Fault)
				conn := connect(t, p.URL())
				_, err := conn.Exec(t.Context(), insert, mode)
				if err == nil || pg.Code(err) != c.code {
					t.Errorf("%v: %v", mode, err)
				}
				if conn.IsClosed() != (c.code == "" || c.code == "57P01") {
					t.Errorf("%v: the connection is closed: %v", mode, conn.IsClosed())
				}
				if rule.Hits() != 1 || did != 1 {
					t.Errorf("happened %d times, did %d", rule.Hits(), did)
				}
				pgtest.Eventually(t, url, "SELECT count(*) = $1 FROM t", c.rows)
				if _, err := connect(t, p.URL()).Exec(t.Context(), insert, mode); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			}
		})
	}
}

// An error aborts the transaction in which it is raised, as the real one would.
func TestAnErrorAbortsTheTransaction(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE t (a int)")
	p := fault.New(t, url)
	p.At(fault.Matching(`\(2\)`), fault.Error("full", "53100"))
	conn := connect(t, p.URL())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (2)"); !pg.Is(err, "53100") {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("commit: %v", err)
	}
	if n := count(t, url); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestConnectionsAreRefused(t *testing.T) {
	t.Parallel()
	p := fault.New(t, pgtest.Database(t))
	rule := p.Always(fault.Like(fault.Connect, 0), fault.Error("too many clients", pg.TooManyConnections))
	for range 2 {
		_, err := pgx.Connect(t.Context(), p.URL())
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != pg.TooManyConnections {
			t.Fatal(err)
		}
	}
	rule.End()
	connect(t, p.URL())
}

// A connection that falls silent stays open on both sides until it is released: what its session holds stays held.
func TestSilence(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE t (a int)")
	p := fault.New(t, url)
	silence := p.At(fault.Like("SELECT 1", 1), fault.Fault{Then: fault.Silent})
	conn := connect(t, p.URL())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT 1")
		answered <- err
	}()
	<-silence.Happened()
	const held = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock')"
	pgtest.Eventually(t, url, held)
	select {
	case err := <-answered:
		t.Fatalf("it was answered: %v", err)
	default:
	}
	p.Release()
	if err := <-answered; err == nil {
		t.Error("it was answered in the end")
	}
	pgtest.Eventually(t, url, "SELECT NOT ("+strings.TrimPrefix(held, "SELECT ")+")")
}

func TestQueueKeepsReadersWaiting(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE t (a int)")
	release := fault.Queue(t, url, "t")
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "SET lock_timeout = 50; SELECT FROM t"); !pg.Is(err, pg.LockNotAvailable) {
		t.Errorf("behind the queue: %v", err)
	}
	release()
	if n := count(t, url); n != 0 {
		t.Error(n)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := fault.NewClock(start)
	fires, _ := c.After(time.Hour)
	never, stop := c.After(time.Hour)
	stop()
	c.Set(start.Add(-time.Hour))
	c.Set(start.Add(59 * time.Minute))
	if len(fires) != 0 {
		t.Error("it fires early")
	}
	c.Set(start.Add(time.Hour))
	if len(fires) != 1 || len(never) != 0 {
		t.Error("it does not fire, or one that was stopped does")
	}
}

package leader_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/pgtest/fault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// quick is the documented pulse at a tenth of its length.
var quick = leader.Pulse{Ping: 300 * time.Millisecond, Deadline: 500 * time.Millisecond, Idle: 1200 * time.Millisecond}

const patience = 20 * time.Second

// candidate runs until the test ends, or stop is called. Its terms arrive on the channel.
type candidate struct {
	*leader.Candidate
	terms chan context.Context
	err   chan error
	stop  context.CancelFunc
}

func stand(t *testing.T, url string, leading *atomic.Int32) *candidate {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &candidate{terms: make(chan context.Context, 16), err: make(chan error, 1), stop: stop}
	c.Candidate = leader.New(leader.Options{URL: url, Name: "leader", Pulse: quick, Retry: 50 * time.Millisecond, Pause: 20 * time.Millisecond, MaxPause: 200 * time.Millisecond})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.err <- c.Run(ctx, func(held context.Context, term *leader.Term) {
			if n := leading.Add(1); n != 1 {
				t.Errorf("%d lead at once", n)
			}
			if err := term.Confirm(held); err != nil && held.Err() == nil {
				t.Errorf("a term just begun: %v", err)
			}
			c.terms <- held
			select {
			case <-held.Done():
			case <-ctx.Done():
			}
			leading.Add(-1)
		})
	}()
	t.Cleanup(func() { stop(); <-ended })
	return c
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

func awaitState(t *testing.T, c *candidate, want leader.State) {
	t.Helper()
	for end := time.Now().Add(patience); c.Status().State != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("state is %v after %s, want %s", c.Status(), patience, want)
		}
	}
}

const killLeader = `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func TestOneLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var leading atomic.Int32
	a := stand(t, url, &leading)
	held := await(t, "a's first term", a.terms)
	b := stand(t, url, &leading)
	awaitState(t, b, leader.Standby)

	pgtest.Exec(t, url, killLeader)
	await(t, "the end of a's term", held.Done())
	var lost *leader.LostError
	if cause := context.Cause(held); !errors.As(cause, &lost) || !pg.Is(cause, pg.AdminShutdown) {
		t.Errorf("the term ended because of %v, want what the server said", cause)
	}
	select { // either may win; the other stands by
	case <-a.terms:
		awaitState(t, b, leader.Standby)
		a.stop()
		await(t, "b's term", b.terms)
	case <-b.terms:
		awaitState(t, a, leader.Standby)
		b.stop()
		await(t, "a's second term", a.terms)
	case <-time.After(patience):
		t.Fatal("nobody took over")
	}
}

func TestASilentNetworkEndsTheTermAndFreesTheLock(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var leading atomic.Int32
	network := fault.New(t, url)
	a := stand(t, network.URL(), &leading)
	held := await(t, "a's term", a.terms)
	b := stand(t, url, &leading)
	awaitState(t, b, leader.Standby)
	network.Silence()
	await(t, "the end of a's term", held.Done())
	await(t, "b's term", b.terms)
	if state := a.Status().State; state == leader.Leading {
		t.Errorf("a is %s", state)
	}
}

// A process that is stopped says nothing, like a session whose pings are far apart.
func TestTheServerEndsAStoppedLeadersSession(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	session, err := leader.Open(t.Context(), url, ": test", leader.Pulse{Ping: time.Hour, Deadline: time.Second, Idle: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if got, err := session.TryLock(t.Context(), "leader"); err != nil || !got {
		t.Fatalf("%v, %v", got, err)
	}
	await(t, "the end of the session", session.Context().Done())
	if cause := context.Cause(session.Context()); !pg.Is(cause, "57P05") {
		t.Errorf("ended because of %v, want idle_session_timeout", cause)
	}
	if err := session.Ping(t.Context()); err == nil {
		t.Error("a lost session was confirmed")
	}
}

func TestSessionLocks(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	open := func() *leader.Session {
		s, err := leader.Open(t.Context(), url, ": test", leader.Pulse{Ping: 20 * time.Millisecond, Deadline: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	a, b := open(), open()
	if got, err := a.TryLock(t.Context(), "x"); err != nil || !got {
		t.Fatalf("a: %v, %v", got, err)
	}
	// The watcher's own use of the connection and many others' do not get in each other's way.
	for range 200 {
		if got, err := b.TryLock(t.Context(), "x"); err != nil || got {
			t.Fatalf("b: %v, %v", got, err)
		}
		if err := a.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	// The server process ends a moment after its connection.
	pgtest.Eventually(t, url, "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%: test'")
	if got, err := b.TryLock(t.Context(), "x"); err != nil || !got {
		t.Fatalf("after a's end: %v, %v", got, err)
	}
}

func TestATransactionPoolIsRefused(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 5} {
		url := newPooler(t, pgtest.Database(t), size)
		var leading atomic.Int32
		c := stand(t, url, &leading)
		err := await(t, "a refusal", c.err)
		var proxy *pg.ProxyError
		if !errors.As(err, &proxy) || !strings.Contains(err.Error(), "pool_mode = session") {
			t.Errorf("pool of %d: got %v", size, err)
		}
		if len(c.terms) > 0 {
			t.Errorf("pool of %d: led", size)
		}
	}
	if err := pg.RequireSessions(t.Context(), pgtest.Database(t)); err != nil {
		t.Errorf("a direct connection: %v", err)
	}
}

func TestLeadershipSurvivesRestartsAndWaitsOnAStandby(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	standby := pgtest.Standby(t, primary)
	var leading atomic.Int32
	a := stand(t, primary.URL("postgres"), &leading)
	held := await(t, "a's term", a.terms)

	var elsewhere atomic.Int32
	b := stand(t, standby.URL("postgres"), &elsewhere)
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		var readOnly *pg.StandbyError
		if errors.As(b.Status().Err, &readOnly) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("on a standby: %v", b.Status())
		}
	}

	if err := primary.Restart(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of a's term", held.Done())
	await(t, "a's next term", a.terms)

	if len(b.terms) > 0 {
		t.Error("led a standby")
	}
	pgtest.Exec(t, standby.URL("postgres"), "SELECT pg_promote()")
	await(t, "b's term on the promoted server", b.terms)
}

func TestNothingIsLeftRunning(t *testing.T) {
	url := pgtest.Database(t)
	ignore := goleak.IgnoreCurrent()
	var leading atomic.Int32
	c := stand(t, url, &leading)
	await(t, "a term", c.terms)
	c.stop()
	if err := await(t, "the end of Run", c.err); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, ignore)
}

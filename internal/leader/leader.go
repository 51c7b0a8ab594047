package leader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/pg"
)

// State is where a candidate stands; see the package's picture.
type State string

// The states.
const (
	Connecting State = "connecting"
	Standby    State = "standby"
	Leading    State = "leading"
)

// Status is what can be said of a candidate at one moment.
type Status struct {
	State State
	Since time.Time
	Err   error // why it is Connecting, or how the last term ended early; nil when all is well
}

// Options configures a Candidate. The zero value of each duration means the documented one.
type Options struct {
	URL  string
	Name string // of the lock: candidates for the same name in the same database are rivals
	Log  *zap.Logger

	Pulse    Pulse         // 2 s, 5 s, 8 s
	Retry    time.Duration // between a standby's attempts: 1 s
	Pause    time.Duration // before the first attempt to connect again: 250 ms
	MaxPause time.Duration // 5 s
}

// Candidate stands for leadership until its context ends.
type Candidate struct {
	opt Options

	mu     sync.Mutex
	status Status
	term   context.Context // of the last time it led; its end comes before status can tell of it
}

// New returns a candidate. It does nothing before Run.
func New(opt Options) *Candidate {
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&opt.Pulse.Ping, 2*time.Second)
	set(&opt.Pulse.Deadline, 5*time.Second)
	set(&opt.Pulse.Idle, 8*time.Second)
	set(&opt.Retry, time.Second)
	set(&opt.Pause, 250*time.Millisecond)
	set(&opt.MaxPause, 5*time.Second)
	return &Candidate{opt: opt, status: Status{State: Connecting, Since: time.Now()}}
}

// Status may be called at any time from anywhere.
func (c *Candidate) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State != Leading || c.term.Err() == nil {
		return c.status
	}
	ended := Status{State: Connecting, Since: time.Now()}
	if cause := context.Cause(c.term); !errors.Is(cause, errClosed) {
		ended.Err = cause
	}
	return ended
}

// Term is one time of leadership.
type Term struct{ session *Session }

// Confirm asks the server whether this term goes on. Without its nil nothing new may be begun: the
// process may have been stopped for a minute between two of its instructions.
func (t *Term) Confirm(ctx context.Context) error { return t.session.Ping(ctx) }

// PID is the server process of the session that holds the lock, for statements that must be done by a leader or not at all.
func (t *Term) PID() uint32 { return t.session.PID() }

// Run stands for leadership, and calls work each time it is won, with a context that ends at once
// when it is lost and that does not end with ctx: at ctx's end work winds up by itself, still as the
// leader, and returns. When work returns, leadership is given back. Run returns when ctx has
// ended: nil; or a *pg.ProxyError when a proxy that pools transactions is found before the first term.
func (c *Candidate) Run(ctx context.Context, work func(held context.Context, term *Term)) error {
	pause, ledOnce := c.opt.Pause, false
	for ctx.Err() == nil {
		began := time.Now()
		state, err := c.stand(ctx, work)
		ledOnce = ledOnce || state == Leading
		var proxy *pg.ProxyError
		if errors.As(err, &proxy) && !ledOnce {
			return proxy
		}
		if ctx.Err() != nil {
			break
		}
		c.enter(Connecting, err)
		if state != Connecting && time.Since(began) > c.opt.MaxPause {
			pause = c.opt.Pause // it went well for a while
		}
		sleep(ctx, pause)
		pause = min(2*pause, c.opt.MaxPause)
	}
	c.enter(Connecting, nil)
	return nil
}

// stand is one session's life: it connects, stands by, leads, and returns how far it came and what ended it.
func (c *Candidate) stand(ctx context.Context, work func(context.Context, *Term)) (State, error) {
	if err := pg.RequireSessions(ctx, c.opt.URL); err != nil {
		return Connecting, err
	}
	session, err := Open(ctx, c.opt.URL, ": "+c.opt.Name, c.opt.Pulse)
	if err != nil {
		return Connecting, err
	}
	defer session.Close()
	if err := session.Do(ctx, requirePrimary); err != nil {
		return Connecting, err
	}
	c.enter(Standby, nil)
	for {
		got, err := session.TryLock(ctx, c.opt.Name)
		if err != nil {
			return Standby, err
		}
		if got {
			break
		}
		select {
		case <-ctx.Done():
			return Standby, nil
		case <-session.Context().Done():
			return Standby, context.Cause(session.Context())
		case <-time.After(jitter(c.opt.Retry)):
		}
	}
	if err := session.Do(ctx, c.requireLock); err != nil {
		return Standby, err
	}
	c.mu.Lock()
	c.term = session.Context()
	c.mu.Unlock()
	c.enter(Leading, nil)
	stop := context.AfterFunc(session.Context(), func() { c.enter(Connecting, context.Cause(session.Context())) })
	work(session.Context(), &Term{session})
	stop()
	return Leading, context.Cause(session.Context())
}

func requirePrimary(ctx context.Context, conn *pgx.Conn) error {
	_, err := pg.PreflightPrimary(ctx, conn)
	return err
}

// requireLock makes sure that the lock is this session's in the eyes of the server.
func (c *Candidate) requireLock(ctx context.Context, conn *pgx.Conn) error {
	var held bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
		    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		    AND (classid::bigint << 32 | objid::bigint) = $1)`, pg.LockKey(c.opt.Name)).Scan(&held)
	if err == nil && !held {
		err = &pg.ProxyError{Evidence: "a session lock that was just taken is not there"}
	}
	return err
}

// enter notes the state and logs what changed: each trouble once, however often it is met.
func (c *Candidate) enter(state State, err error) {
	c.mu.Lock()
	before := c.status
	c.status.Err = err
	if state != before.State {
		c.status.State, c.status.Since = state, time.Now()
	}
	c.mu.Unlock()
	log := c.opt.Log.With(zap.String("lock", c.opt.Name))
	switch {
	case err != nil && (before.Err == nil || before.Err.Error() != err.Error()):
		log.Warn("no leadership for now, trying again", zap.Error(err))
	case state != before.State && state == Leading:
		log.Info("leading")
	case state != before.State && state == Standby:
		log.Info("standing by")
	}
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + 0.5*rand.Float64()))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(jitter(d)):
	}
}

// String is for logs and pages.
func (s Status) String() string {
	if s.Err != nil {
		return fmt.Sprintf("%s: %v", s.State, s.Err)
	}
	return string(s.State)
}

package leader

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Pulse says how closely a session is watched.
type Pulse struct {
	Ping     time.Duration // how often the server is asked, when nothing else is
	Deadline time.Duration // for each answer
	// Idle is after how much silence of ours the server ends the session; 0: never. More than Ping + Deadline.
	Idle time.Duration
}

// LostError says that a session that held locks is gone, and its locks with it.
type LostError struct{ Err error }

func (e *LostError) Error() string {
	return "the session that holds the locks was lost: " + e.Err.Error()
}
func (e *LostError) Unwrap() error { return e.Err }

var errClosed = errors.New("closed")

// Session is a dedicated connection for session-level advisory locks. Its context ends, with a
// *LostError as cause, at once when the server closes the connection, and after Ping + Deadline at the latest when it
// falls silent.
type Session struct {
	conn  *pgx.Conn
	pulse Pulse
	token string // a setting of the session: whoever does not see it is in another session
	pid   uint32

	ctx  context.Context
	lose context.CancelCauseFunc
	done chan struct{} // the watcher has ended

	mu       sync.Mutex
	turn     *sync.Cond
	inUse    bool
	waiting  int
	stopWait context.CancelFunc // ends the watcher's wait, so that somebody else can use the connection
}

// Open connects and begins to watch. label follows the application name in pg_stat_activity.
func Open(ctx context.Context, url, label string, pulse Pulse) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := pg.Dedicated(ctx, url, "")
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, pulse: pulse, token: rand.Text(), done: make(chan struct{})}
	s.turn = sync.NewCond(&s.mu)
	err = conn.QueryRow(ctx, `
		SELECT pg_backend_pid(), set_config('pgtender.session', $1, false), set_config('idle_session_timeout', $2, false),
		       set_config('application_name', current_setting('application_name') || $3, false)`,
		s.token, fmt.Sprint(pulse.Idle.Milliseconds()), label).Scan(&s.pid, nil, nil, nil)
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("set up a session for locks: %w", err)
	}
	s.ctx, s.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	go s.watch()
	return s, nil
}

// Context ends when the session does.
func (s *Session) Context() context.Context { return s.ctx }

// PID is the server process of the session.
func (s *Session) PID() uint32 { return s.pid }

// Do uses the connection for something short: f's context has the pulse's deadline and does not end with ctx, because a
// query that is cancelled half-way would cost the session. Not for use within f.
func (s *Session) Do(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.acquire(nil)
	defer s.release()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.pulse.Deadline)
	defer cancel()
	err := f(short, s.conn)
	if !s.conn.IsClosed() && s.conn.PgConn().TxStatus() == 'I' {
		_ = pg.Count(short, s.conn) // that nobody need take this session for one with uncounted writes; if it fails, they will
	}
	if s.conn.IsClosed() {
		if err == nil {
			err = errors.New("connection closed")
		}
		s.lose(&LostError{err})
	}
	return err
}

// Ping asks the server whether this is still the session it was.
func (s *Session) Ping(ctx context.Context) error {
	return s.Do(ctx, s.ask)
}

func (s *Session) ask(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	var token *string
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid(), current_setting('pgtender.session', true)").Scan(&pid, &token)
	if err != nil {
		err = &LostError{err}
		s.lose(err)
		return err
	}
	if pid != s.pid || token == nil || *token != s.token {
		err := &LostError{&pg.ProxyError{Evidence: fmt.Sprintf("one connection changed from server process %d to %d", s.pid, pid)}}
		s.lose(err)
		return err
	}
	return nil
}

// TryLock takes the session-level lock of that name, or reports that another session has it. A session that has it
// already gets it once more.
func (s *Session) TryLock(ctx context.Context, name string) (got bool, err error) {
	err = s.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		got, err = pg.TryLock(ctx, conn, name)
		return err
	})
	return got, err
}

// Close ends the session and so gives its locks back. It waits until the server has been told, for a second at most.
func (s *Session) Close() {
	s.lose(errClosed)
	<-s.done
	s.acquire(nil)
	defer s.release()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.conn.Close(ctx)
	select {
	case <-s.conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// watch waits for the server to say or do something, which it should not, and pings now and then.
func (s *Session) watch() {
	defer close(s.done)
	for s.ctx.Err() == nil {
		wait, cancel := context.WithTimeout(s.ctx, s.pulse.Ping)
		s.acquire(cancel)
		err := s.wait(wait)
		timedOut := errors.Is(wait.Err(), context.DeadlineExceeded)
		cancel()
		if err == nil && timedOut && s.ctx.Err() == nil {
			short, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.pulse.Deadline)
			if err = s.ask(short, s.conn); err == nil {
				_ = pg.Count(short, s.conn)
			}
			cancel()
		}
		s.release()
		if err != nil {
			var lost *LostError
			if !errors.As(err, &lost) {
				err = &LostError{err}
			}
			s.lose(err)
		}
	}
}

// wait returns nil when ctx has ended and the connection is well.
func (s *Session) wait(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.conn.PgConn().WaitForNotification(ctx); err != nil && (ctx.Err() == nil || s.conn.IsClosed()) {
			return err
		}
	}
	return nil
}

// acquire waits for the connection. With stopWait the caller is the watcher, who gives way to everybody else.
func (s *Session) acquire(stopWait context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stopWait != nil {
		for s.inUse || s.waiting > 0 {
			s.turn.Wait()
		}
		s.inUse, s.stopWait = true, stopWait
		return
	}
	s.waiting++
	for s.inUse {
		if s.stopWait != nil {
			s.stopWait()
		}
		s.turn.Wait()
	}
	s.waiting--
	s.inUse = true
}

func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse, s.stopWait = false, nil
	s.turn.Broadcast()
}

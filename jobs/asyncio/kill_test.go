package asyncio

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

var errKilled = errors.New("killed")

// mortal is a session that dies at its n-th statement, before or after the server has done it: what comes later never reaches
// the server, as after a kill -9.
type mortal struct {
	conn    *pgx.Conn
	left    int
	after   bool // the statement is done, and its answer lost
	dead    bool
	written []string // statements that change something
}

// strike counts a statement and tells whether the server sees it, and whether its answer comes back.
func (m *mortal) strike(sql string) (sees, answers bool) {
	if m.dead {
		return false, false
	}
	for _, verb := range []string{"ALTER SYSTEM", "pg_reload_conf", "INSERT", "UPDATE"} {
		if strings.Contains(sql, verb) {
			m.left--
			m.written = append(m.written, verb)
			if m.left == 0 {
				m.dead = true
				return m.after, false
			}
		}
	}
	return true, true
}

func (m *mortal) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	sees, answers := m.strike(sql)
	if !sees {
		return pgconn.CommandTag{}, errKilled
	}
	tag, err := m.conn.Exec(ctx, sql, args...)
	if !answers {
		err = errKilled
	}
	return tag, err
}

func (m *mortal) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if sees, _ := m.strike(sql); !sees {
		return nil, errKilled
	}
	return m.conn.Query(ctx, sql, args...)
}

type deadRow struct{}

func (deadRow) Scan(...any) error { return errKilled }

func (m *mortal) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	sees, answers := m.strike(sql)
	if !sees {
		return deadRow{}
	}
	row := m.conn.QueryRow(ctx, sql, args...)
	if !answers {
		_ = row.Scan() // the server has done it
		return deadRow{}
	}
	return row
}

// TestKilledTrial kills the tuner at each statement of a trial that changes something, and starts another: the setting is then the old one, or
// kept and proved, and the server starts from what is on the disk.
func TestKilledTrial(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	stop := l.load("io_workers", map[string]time.Duration{"5": time.Millisecond}, 20*time.Millisecond)
	defer func() { stop() }()
	p := quick
	p.Window, p.Settle = 100*time.Millisecond, 10*time.Millisecond

	count := l.doomed(t, p, 1_000_000, false) // to its end
	if len(count) < 15 {
		t.Fatalf("statements: %v", count)
	}
	step := pgtest.Scaled(5, 1)
	for at := 1; at <= len(count); at += step {
		for _, after := range []bool{false, true} {
			l.doomed(t, p, at, after)
			if at%5 == 1 && after { // what is on the disk must start the server, and the daemon's next start finds it
				stop()
				l.pool.Reset()
				if err := l.server.Restart(t.Context(), nil); err != nil {
					t.Fatalf("killed at %d (%s): the server does not start: %v", at, count[at-1], err)
				}
				stop = l.load("io_workers", map[string]time.Duration{"5": time.Millisecond}, 20*time.Millisecond)
			}
			l.recovered(t, at, after)
		}
	}
}

// doomed runs a trial in a session that dies, from the state in which nothing was ever changed.
func (l *lab) doomed(t *testing.T, p Pace, at int, after bool) []string {
	t.Helper()
	l.reset()
	var m *mortal
	o := l.options()
	o.Pace = p
	o.open = func(ctx context.Context, url string) (*hand, error) {
		if m != nil && m.dead {
			return nil, errKilled
		}
		conn, err := pg.Dedicated(ctx, url, "")
		if err != nil {
			return nil, err
		}
		m = &mortal{conn: conn, left: at, after: after}
		return &hand{db: m, close: func() { conn.Close(context.WithoutCancel(ctx)) }}, nil
	}
	task, err := ApplyTask(nil, "io_workers=5", o)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = l.run(task)
	if m == nil || m.dead == (err == nil) {
		t.Fatalf("killed at %d: %v", at, err)
	}
	return m.written
}

// recovered runs the job once more, as a daemon does at its start, and looks at what is left.
func (l *lab) recovered(t *testing.T, at int, after bool) {
	t.Helper()
	o := l.options()
	o.Unfinished = Unfinished(t.Context(), l.pool)
	if o.Unfinished {
		tasks := Tasks(declaresNothing, o)
		if len(tasks) != 1 || !tasks[0].AtStart {
			t.Fatalf("tasks: %+v", tasks)
		}
		if r, said, err := l.run(tasks[0]); err != nil || r.Outcome != jobs.Noop || !strings.Contains(strings.Join(said, "\n"), "an interrupted trial of io_workers = 5") {
			t.Fatalf("killed at %d: %+v %v %v", at, r, said, err)
		}
	}
	journal, shown := l.journal(), l.shown("io_workers")
	want := "3"
	for _, c := range journal {
		if c.State == "begun" {
			t.Errorf("killed at %d, after %v: the journal is open: %+v", at, after, c)
		}
		if c.State == "kept" {
			want = "5 by 5"
		}
	}
	if shown != want {
		t.Errorf("killed at %d, after %v: io_workers is %s, want %s (%+v)", at, after, shown, want, journal)
	}
}

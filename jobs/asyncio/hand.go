package asyncio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
)

// tunerName is the application name of the session that changes settings. Advisory locks are of one database and settings of the whole
// server, so tuners of several databases see each other by it.
const tunerName = "pgtender io tuner"

// reloadWait bounds how long a reload may take to reach a session. Measured: some milliseconds.
const reloadWait = 10 * time.Second

// session is what the hand works on: one connection of its own, as ALTER SYSTEM runs in no transaction.
type session interface {
	pg.Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// hand changes settings of the server, one at a time, and believes a change only when the server shows it by value and source.
type hand struct {
	db    session
	close func()
}

// openHand opens the tuner's session. It returns a *RivalError when another tuner is at work on this server.
func openHand(ctx context.Context, o Options) (*hand, error) {
	h, err := o.open(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	over := time.Now().Add(leaveWait)
	for {
		err := h.register(ctx)
		var rival *RivalError
		switch {
		case err == nil:
			return h, nil
		case !errors.As(err, &rival) || time.Now().After(over): // one that was killed a moment ago is gone soon
			h.close()
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leaveWait is how long a tuner's session may take to end: its own, and one that it finds.
const leaveWait = 2 * time.Second

func dedicatedHand(ctx context.Context, url string) (*hand, error) {
	conn, err := pg.Dedicated(ctx, url, "")
	if err != nil {
		return nil, err
	}
	return &hand{db: conn, close: func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
		defer cancel()
		_, _ = conn.Exec(ctx, "SET application_name = ''") // the server takes a moment to end the session, and the next tuner would still see it
		_ = conn.Close(ctx)
	}}, nil
}

// RivalError says that another session tunes this server just now.
type RivalError struct{ Who string }

func (e *RivalError) Error() string {
	return fmt.Sprintf("another pgtender tunes this server: %s. Settings are of the whole server, so only one may; nothing was changed", e.Who)
}

// register makes this session known, then looks for others. Of two that register at the same moment both see the other and leave, so
// that never two stay.
func (h *hand) register(ctx context.Context) error {
	if _, err := h.db.Exec(ctx, "SELECT set_config('application_name', $1, false)", tunerName); err != nil {
		return fmt.Errorf("register as the server's tuner: %w", err)
	}
	var rival string
	err := h.db.QueryRow(ctx, `
		SELECT format('server process %s of role %s in database %s, since %s', pid, usename, datname, to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'))
		  FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid() ORDER BY backend_start, pid LIMIT 1`, tunerName).Scan(&rival)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for another tuner of this server: %w", err)
	}
	return &RivalError{rival}
}

// standing is where a setting stands at one moment.
type standing struct {
	Entry   *string // in postgresql.auto.conf, as it is written there; nil: none
	Value   string  // in force for a session without overrides, as pg_settings has it
	Source  string
	FromOur bool // Value comes from postgresql.auto.conf
}

// A role or database that overrides the setting was refused beforehand, so this session's value is everybody's.
const standingSQL = `
SELECT s.setting, s.source, coalesce(s.sourcefile, '') LIKE '%/postgresql.auto.conf',
       (SELECT f.setting FROM pg_file_settings f
         WHERE f.name = s.name AND f.sourcefile LIKE '%/postgresql.auto.conf' ORDER BY f.seqno DESC LIMIT 1)
  FROM pg_settings s WHERE s.name = $1`

func (h *hand) standing(ctx context.Context, name string) (standing, error) {
	var s standing
	err := h.db.QueryRow(ctx, standingSQL, name).Scan(&s.Value, &s.Source, &s.FromOur, &s.Entry)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", name, err)
	}
	return s, nil
}

// put writes the entry of a setting in postgresql.auto.conf (nil: takes it out) and has the server read its files, unless that would
// put somebody else's unfinished edits into force: then it returns an *EditsError, and the entry waits for the next reload.
// It returns nil only when the server shows value (empty: any) as the one in force.
func (h *hand) put(ctx context.Context, name string, entry *string, value string) error {
	now, err := h.standing(ctx, name)
	if err != nil {
		return err
	}
	if !same(now.Entry, entry) {
		sql := "ALTER SYSTEM RESET " + pg.Ident(name)
		if entry != nil {
			sql = "ALTER SYSTEM SET " + pg.Ident(name) + " = " + pg.Literal(*entry)
		}
		if _, err := h.db.Exec(ctx, sql); err != nil {
			return h.lacks(ctx, fmt.Errorf("%s: %w", sql, err))
		}
	} else if now.shows(entry, value) {
		return nil
	}
	if edits, err := h.edits(ctx, name); err != nil {
		return err
	} else if len(edits) > 0 {
		return &EditsError{edits}
	}
	if _, err := h.db.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return h.lacks(ctx, fmt.Errorf("reload the server's configuration for %s: %w", name, err))
	}
	return h.await(ctx, name, entry, value)
}

// lacks adds to an error for want of a right what would give it.
func (h *hand) lacks(ctx context.Context, err error) error {
	var user string
	if !pg.Is(err, pg.InsufficientPrivilege) || h.db.QueryRow(ctx, "SELECT current_user").Scan(&user) != nil {
		return err
	}
	return fmt.Errorf("%w. As an administrator:\n    %s", err, strings.Join(Grants(pg.Ident(user)), "\n    "))
}

// await waits until the reload has reached this session.
func (h *hand) await(ctx context.Context, name string, entry *string, value string) error {
	over := time.Now().Add(reloadWait)
	for {
		now, err := h.standing(ctx, name)
		switch {
		case err != nil:
			return err
		case now.shows(entry, value):
			return nil
		case time.Now().After(over):
			return fmt.Errorf("%s does not come into force: %s is wanted, and the server shows %s from %s. Something beats postgresql.auto.conf",
				name, value, now.Value, now.Source)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shows tells whether the value is in force, and from where it should be.
func (s standing) shows(entry *string, value string) bool {
	return (value == "" || s.Value == value) && s.FromOur == (entry != nil)
}

func same(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// settled waits until as many I/O workers run as the setting says: the postmaster starts and stops them one after the other.
func (h *hand) settled(ctx context.Context, name, value string) error {
	if name != "io_workers" {
		return nil
	}
	over := time.Now().Add(reloadWait)
	for {
		var workers string
		if err := h.db.QueryRow(ctx, "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'io worker'").Scan(&workers); err != nil {
			return fmt.Errorf("count the I/O workers: %w", err)
		}
		if workers == value {
			return nil
		}
		if time.Now().After(over) {
			return fmt.Errorf("io_workers = %s is in force, and the server runs %s of them", value, workers)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// EditsError says that a reload would put edits into force that somebody has written and not loaded.
type EditsError struct{ Edits []Edit }

func (e *EditsError) Error() string {
	var lines []string
	for _, each := range e.Edits {
		lines = append(lines, each.String())
	}
	return "somebody has edited the server's configuration and not loaded it, and a reload would put that into force: " + strings.Join(lines, "; ") +
		". Finish that edit (SELECT pg_reload_conf()) or take it back"
}

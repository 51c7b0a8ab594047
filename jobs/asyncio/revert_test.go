package asyncio

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

// keep makes changes as kept trials leave them.
func (l *lab) keep(setting string, values ...string) {
	l.t.Helper()
	h, err := openHand(l.t.Context(), l.options().withDefaults())
	if err != nil {
		l.t.Fatal(err)
	}
	defer h.close()
	for _, value := range values {
		was, err := h.standing(l.t.Context(), setting)
		if err != nil {
			l.t.Fatal(err)
		}
		c, err := h.begin(l.t.Context(), 1, setting, was, value, "test")
		if err := errors.Join(err, h.put(l.t.Context(), setting, &value, value), h.end(l.t.Context(), c, stateKept, "a gain", &Trial{})); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) revert(all bool) jobs.Result {
	l.t.Helper()
	r, said, err := l.run(RevertTask(all, l.options()))
	if err != nil {
		l.t.Fatalf("revert: %v %v", err, said)
	}
	return r
}

func revertAll(t *testing.T, l *lab) {
	if r := l.revert(true); r.Outcome != jobs.Noop || !strings.HasPrefix(r.Summary, "nothing to put back") {
		t.Errorf("nothing: %+v", r)
	}
	pgtest.Exec(t, l.url, "ALTER SYSTEM SET effective_io_concurrency = 20", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, l.url, "SELECT current_setting('effective_io_concurrency') = '20'")
	l.keep("io_workers", "4", "6")
	l.keep("effective_io_concurrency", "64")

	if r := l.revert(false); r.Summary != "put back effective_io_concurrency" || l.shown("effective_io_concurrency") != "20 by 20" || l.shown("io_workers") != "6 by 6" {
		t.Errorf("the last: %+v %s %s", r, l.shown("effective_io_concurrency"), l.shown("io_workers"))
	}
	if r := l.revert(true); r.Outcome != jobs.Success || l.shown("io_workers") != "3" {
		t.Errorf("all: %+v %s", r, l.shown("io_workers"))
	}
	if r := l.revert(true); r.Outcome != jobs.Noop {
		t.Errorf("again: %+v", r)
	}

	l.keep("io_workers", "4", "6")
	l.keep("effective_io_concurrency", "64")
	pgtest.Exec(t, l.url, "ALTER SYSTEM SET io_workers = 7", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, l.url, "SELECT current_setting('io_workers') = '7'")
	if r := l.revert(true); r.Summary != "put back effective_io_concurrency; left as somebody else has set it: io_workers, io_workers" || l.shown("io_workers") != "7 by 7" {
		t.Errorf("overtaken: %+v %s", r, l.shown("io_workers"))
	}
	for _, c := range l.journal() {
		if c.State == stateKept || c.State == stateBegun || c.Ended == nil {
			t.Errorf("journal: %+v", c)
		}
	}
}

func revertAfterEdit(t *testing.T, l *lab) {
	l.keep("io_workers", "4")
	h := &hand{db: pgtest.Session(t, l.url)}
	pgtest.Exec(t, l.url, "ALTER SYSTEM SET work_mem = '9MB'") // written, not loaded
	_, _, err := l.run(RevertTask(false, l.options()))
	var edits *EditsError
	if !errors.As(err, &edits) || !strings.Contains(err.Error(), "the entry in postgresql.auto.conf is back, and comes into force with the next reload") {
		t.Errorf("%v", err)
	}
	if s, err := h.standing(t.Context(), "io_workers"); err != nil || s.Entry != nil || s.Value != "4" {
		t.Errorf("in between: %+v %v", s, err)
	}
	pgtest.Exec(t, l.url, "SELECT pg_reload_conf()")
	pgtest.Eventually(t, l.url, "SELECT current_setting('io_workers') = '3'")
	if r := l.revert(false); r.Outcome != jobs.Success || l.journal()[0].State != stateReverted {
		t.Errorf("afterwards: %+v %+v", r, l.journal())
	}
}

func oneTuner(t *testing.T, l *lab) {
	other := l.as(pgtest.DatabaseOn(t, l.server)) // another database of the same server
	h, err := openHand(t.Context(), other.options().withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	stop := l.load("io_workers", nil, 0)
	defer stop()
	var rival *RivalError
	if _, _, err := l.apply("io_workers=5"); !errors.As(err, &rival) || !strings.Contains(err.Error(), "another pgtender tunes this server: server process") {
		t.Errorf("%v", err)
	}
	if len(l.journal()) != 0 || l.shown("io_workers") != "3" {
		t.Errorf("%+v", l.journal())
	}
}

func stoppedTrial(t *testing.T, l *lab) {
	stop := l.load("io_workers", nil, 0)
	defer stop()
	task, err := ApplyTask(nil, "io_workers=5", l.options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = task.Run(ctx, &jobs.Run{Say: func(format string, _ ...any) {
		if strings.HasPrefix(format, "pair ") {
			cancel()
		}
	}})
	if j := l.journal(); !errors.Is(err, context.Canceled) || l.shown("io_workers") != "3" || len(j) != 1 || j[0].State != stateReverted || j[0].Reason != "the trial was stopped" || j[0].Judged {
		t.Errorf("%v %s %+v", err, l.shown("io_workers"), j)
	}
}

func somebodyElse(t *testing.T, l *lab) {
	stop := l.load("io_workers", nil, 0)
	defer stop()
	task, err := ApplyTask(nil, "io_workers=5", l.options())
	if err != nil {
		t.Fatal(err)
	}
	done := false
	_, err = task.Run(t.Context(), &jobs.Run{Say: func(format string, _ ...any) {
		if strings.HasPrefix(format, "pair ") && !done {
			done = true
			pgtest.Exec(t, l.url, "ALTER SYSTEM SET io_workers = 9", "SELECT pg_reload_conf()")
		}
	}})
	if j := l.journal(); err == nil || !strings.Contains(err.Error(), "somebody else has changed io_workers during the trial; it was left as it is") ||
		l.shown("io_workers") != "9 by 9" || len(j) != 1 || j[0].State != stateOvertaken {
		t.Errorf("%v %s %+v", err, l.shown("io_workers"), j)
	}
}

// rescued kills the tuner's session in the middle: another one puts the value back.
func rescued(t *testing.T, l *lab) {
	stop := l.load("io_workers", nil, 0)
	defer stop()
	task, err := ApplyTask(nil, "io_workers=5", l.options())
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	_, err = task.Run(t.Context(), &jobs.Run{Say: func(format string, _ ...any) {
		if strings.HasPrefix(format, "pair ") && !killed {
			killed = true
			pgtest.Exec(t, l.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '"+tunerName+"'")
		}
	}})
	if j := l.journal(); err == nil || l.shown("io_workers") != "3" || len(j) != 1 || j[0].State != stateReverted {
		t.Errorf("%v %s %+v", err, l.shown("io_workers"), j)
	}
}

// unrecorded takes the journal away in the middle: the trial ends, and the old value is back.
func unrecorded(t *testing.T, l *lab) {
	stop := l.load("io_workers", nil, 0)
	defer stop()
	task, err := ApplyTask(nil, "io_workers=5", l.options())
	if err != nil {
		t.Fatal(err)
	}
	_, err = task.Run(t.Context(), &jobs.Run{Say: func(format string, _ ...any) {
		if strings.HasPrefix(format, "pair ") {
			l.forget()
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "the trial of io_workers is no longer in the journal") || l.shown("io_workers") != "3" {
		t.Errorf("%v %s", err, l.shown("io_workers"))
	}
}

// badLine breaks postgresql.auto.conf in the middle of a trial: nothing false is said of other settings.
func badLine(t *testing.T, l *lab) {
	l.keep("io_workers", "4")
	var data string
	if err := l.pool.QueryRow(t.Context(), "SELECT current_setting('data_directory')").Scan(&data); err != nil {
		t.Fatal(err)
	}
	h := &hand{db: pgtest.Session(t, l.url)}
	auto := filepath.Join(data, "postgresql.auto.conf")
	text, err := os.ReadFile(auto)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(auto, append(text, "io_wrong_setting = 'x'\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var files *FilesError
	if _, err := h.edits(t.Context(), "io_workers"); !errors.As(err, &files) || !strings.Contains(err.Error(), "postgresql.auto.conf:4 cannot be used by the server (unrecognized configuration parameter)") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(auto, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

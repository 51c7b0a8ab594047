package asyncio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// quick is a pace for loads that report their reads at once.
var quick = Pace{Pairs: 6, Most: 8, Window: 400 * time.Millisecond, Settle: 50 * time.Millisecond, Sample: 50 * time.Millisecond, MinThroughput: 1}

// lab is a private server with a table larger than its buffers.
type lab struct {
	t      testing.TB
	server *devpg.Server
	url    string
	pool   *pgxpool.Pool
}

func newLab(t testing.TB, settings ...string) *lab {
	t.Helper()
	l := &lab{t: t, server: pgtest.Private(t, append([]string{"shared_buffers=1MB", "max_wal_size=1GB"}, settings...)...)}
	l.url = pgtest.DatabaseOn(t, l.server)
	library(t, l.url, 20_000)
	l.pool = pgtest.Pool(t, l.url)
	if err := state.Ensure(t.Context(), l.pool); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) options() Options {
	return Options{Pool: l.pool, URL: l.url, Samples: 2, Every: time.Millisecond, Pace: quick}
}

// load reads all the time, and pauses as long as pause says for the value of the setting: how fast it is depends on nothing else, so that a
// trial's end is certain.
func (l *lab) load(setting string, pause map[string]time.Duration, other time.Duration) (stop func()) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cases := " WHEN '' THEN 0"
	for value, d := range pause {
		cases += fmt.Sprintf(" WHEN %s THEN %f", pg.Literal(value), d.Seconds())
	}
	conn, err := pg.Dedicated(ctx, l.url, "")
	if err != nil {
		l.t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		for ctx.Err() == nil {
			page := rand.IntN(900)
			_, _ = conn.Exec(ctx, fmt.Sprintf(`SELECT pg_stat_force_next_flush(), (SELECT count(*) FROM public.big WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)'),
				pg_sleep(CASE current_setting(%s)%s ELSE %f END)`, page, page+60, pg.Literal(setting), cases, other.Seconds()))
		}
	})
	return func() { cancel(); all.Wait() }
}

// run runs one task as the runner would.
func (l *lab) run(task jobs.Task) (jobs.Result, []string, error) {
	l.t.Helper()
	var said []string
	r, err := task.Run(l.t.Context(), &jobs.Run{ID: 7, Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	return r, said, err
}

func (l *lab) apply(want string) (jobs.Result, []string, error) {
	l.t.Helper()
	task, err := ApplyTask(nil, want, l.options())
	if err != nil {
		l.t.Fatal(err)
	}
	return l.run(task)
}

// shown is the value in force and the entry in postgresql.auto.conf.
func (l *lab) shown(setting string) string {
	l.t.Helper()
	h := &hand{db: pgtest.Session(l.t, l.url)}
	s, err := h.standing(l.t.Context(), setting)
	if err != nil {
		l.t.Fatal(err)
	}
	if s.Entry == nil {
		return s.Value
	}
	return s.Value + " by " + *s.Entry
}

func (l *lab) journal() []Change {
	l.t.Helper()
	all, err := Journal(l.t.Context(), l.pool, 100)
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// reset brings the server back to where nothing was ever changed.
func (l *lab) reset() {
	l.t.Helper()
	l.forget()
	pgtest.Exec(l.t, l.url, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
	pgtest.Eventually(l.t, l.url, "SELECT current_setting('io_workers') = '3' AND current_setting('effective_io_concurrency') = '16'")
}

func (l *lab) forget() { pgtest.Exec(l.t, l.url, "TRUNCATE pgtender.setting_change") }

// TestTrials has one server for all that a trial may come to: settings are of the whole server, so one after the other.
func TestTrials(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, test := range map[string]func(*testing.T, *lab){
		"verdicts": verdicts, "broken off": brokenOff, "too little is read": tooLittle, "one tuner of a server": oneTuner,
		"stopped": stoppedTrial, "somebody else in the middle": somebodyElse, "revert": revertAll, "revert after an edit elsewhere": revertAfterEdit,
		"rescued": rescued, "unrecorded": unrecorded, "a bad line": badLine,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &lab{t: t, server: l.server, url: l.url, pool: l.pool})
			l.reset()
		})
	}
}

func verdicts(t *testing.T, l *lab) {
	const fast, slow = time.Millisecond, 40 * time.Millisecond
	for _, c := range []struct {
		name    string
		pause   map[string]time.Duration
		outcome jobs.Outcome
		summary string
		shown   string
		state   string
	}{
		{"a gain", map[string]time.Duration{"5": fast}, jobs.Success, "kept io_workers = 5 instead of 3: throughput ×", "5 by 5", "kept"},
		{"a loss", map[string]time.Duration{"3": fast}, jobs.Noop, "tried io_workers = 5 and put 3 back: throughput ×0.", "3", "reverted"},
		{"a tie", map[string]time.Duration{}, jobs.Noop, "tried io_workers = 5 and put 3 back: throughput ×", "3", "reverted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stop := l.load("io_workers", c.pause, slow)
			defer stop()
			r, said, err := l.apply("io_workers=5")
			if err != nil || r.Outcome != c.outcome || !strings.Contains(r.Summary, c.summary) {
				t.Fatalf("%+v %v\n%s", r, err, strings.Join(said, "\n"))
			}
			if got := l.shown("io_workers"); got != c.shown {
				t.Errorf("in force: %s, want %s", got, c.shown)
			}
			journal := l.journal()
			if len(journal) != 1 || journal[0].State != c.state || !journal[0].Judged || journal[0].Ended == nil || journal[0].Old != nil {
				t.Errorf("journal: %+v", journal)
			}
			var trial Trial
			var run int64
			var text string
			if err := l.pool.QueryRow(t.Context(), "SELECT detail ->> 'trial', run_id FROM pgtender.setting_change").Scan(&text, &run); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(text), &trial); err != nil || run != 7 || trial.From != "3" || trial.To != "5" || len(trial.Pairs) < 6 ||
				trial.Pairs[0].Old.Bytes == 0 || trial.Kept != (c.state == "kept") {
				t.Errorf("evidence: %+v %v", trial, err)
			}
			if c.state == "kept" {
				if r, _, err := l.run(RevertTask(false, l.options())); err != nil || r.Outcome != jobs.Success || l.shown("io_workers") != "3" {
					t.Errorf("revert: %+v %v, %s", r, err, l.shown("io_workers"))
				}
			}
			l.forget()
		})
	}
}

func brokenOff(t *testing.T, l *lab) {
	p := quick
	p.Window, p.Sample = 5*time.Second, 100*time.Millisecond
	stop := l.load("io_workers", nil, 5*time.Millisecond)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	conn := pgtest.Session(t, l.url)
	all.Go(func() { // fails whenever the new value is in force
		for ctx.Err() == nil {
			_, _ = conn.Exec(ctx, "SELECT pg_stat_force_next_flush(), (SELECT count(*) FROM pg_catalog.pg_class), CASE current_setting('io_workers') WHEN '5' THEN 1 / (now() = 'epoch')::int END")
			_ = sleep(ctx, 5*time.Millisecond)
		}
	})
	defer func() { cancel(); all.Wait() }()
	o := l.options()
	o.Pace = p
	task, err := ApplyTask(nil, "io_workers=5", o)
	if err != nil {
		t.Fatal(err)
	}
	r, said, err := l.run(task)
	if err != nil || r.Outcome != jobs.Noop || !strings.Contains(r.Summary, "transactions a second were rolled back") {
		t.Fatalf("%+v %v\n%s", r, err, strings.Join(said, "\n"))
	}
	if j := l.journal(); l.shown("io_workers") != "3" || len(j) != 1 || j[0].State != "reverted" || !strings.HasPrefix(j[0].Reason, "broken off") {
		t.Errorf("%s %+v", l.shown("io_workers"), j)
	}
}

func TestCalm(t *testing.T) {
	t.Parallel()
	var c calmness
	c.learn(Window{Seconds: 10, Running: 3, Rollbacks: 20, Lag: 100 << 20})
	fine := Window{Seconds: 5, Running: 9, Rollbacks: 40, Lag: 400 << 20}
	if err := c.check(fine, true); err != nil {
		t.Errorf("fine: %v", err)
	}
	for want, w := range map[string]Window{
		"rolled back": {Seconds: 5, Rollbacks: 50}, "of WAL behind": {Seconds: 5, Lag: 500 << 20}, "wanted a CPU": {Seconds: 5, Running: 10.5},
	} {
		var alarm *alarmError
		if err := c.check(w, true); !errors.As(err, &alarm) || !strings.Contains(alarm.why, want) {
			t.Errorf("%s: %v", want, err)
		}
		if err := c.check(w, false); err != nil {
			t.Errorf("%s with the old value: %v", want, err)
		}
		w.Seconds = 1
		if err := c.check(w, true); err != nil {
			t.Errorf("%s after a second: %v", want, err)
		}
	}
}

func tooLittle(t *testing.T, l *lab) {
	o := l.options()
	o.Pace.MinThroughput = 1e15
	task, err := ApplyTask(&config.IO{}, "io_workers=5", o)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := l.run(task)
	if err != nil || r.Outcome != jobs.Skipped || !strings.Contains(r.Summary, "io_workers = 5 was not tried: too little was read") || len(l.journal()) != 0 {
		t.Errorf("%+v %v %+v", r, err, l.journal())
	}
}

func TestUnfitWindows(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p := Pace{Window: 10 * time.Second, MinThroughput: 100}
	good := func() (reading, reading, Window) {
		a := reading{at: now, bytes: 0, open: map[int32]transaction{}}
		b := reading{at: now.Add(10 * time.Second), bytes: 5000, commits: 10, open: map[int32]transaction{}}
		return a, b, Window{Seconds: 10, Bytes: 5000, Commits: 10}
	}
	long, asleep := now.Add(-time.Minute), now.Add(-time.Second)
	for want, change := range map[string]func(a, b *reading, w *Window){
		"":                                    func(*reading, *reading, *Window) {},
		"the server was restarted":            func(_, b *reading, _ *Window) { b.started = now },
		"the statistics were reset":           func(_, b *reading, _ *Window) { b.statsReset = now },
		"a checkpoint was forced":             func(_, b *reading, _ *Window) { b.checkpoints++ },
		"too little was read (0.0 MB/s)":      func(_, _ *reading, w *Window) { w.Bytes = 500 },
		"a long transaction ended":            func(a, _ *reading, _ *Window) { a.open[1] = transaction{began: long} },
		"a transaction ran through it, whose": func(a, b *reading, _ *Window) { a.open[1] = transaction{began: long}; b.open[1] = a.open[1] },
	} {
		a, b, w := good()
		change(&a, &b, &w)
		if got := unfit(a, b, p, w); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q", want, got)
		}
	}
	a, b, w := good() // idle in transaction throughout: it read nothing
	a.open[1] = transaction{began: long, idleSince: &asleep}
	b.open[1] = a.open[1]
	b.open[2] = transaction{began: now.Add(time.Second)}
	if got := unfit(a, b, p, w); got != "" {
		t.Errorf("a sleeper: %q", got)
	}
}

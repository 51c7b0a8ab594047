package asyncio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pace is how a trial goes. The zero value of a field means the documented one.
type Pace struct {
	Pairs  int           // of windows that can be used: 8
	Most   int           // of pairs begun, used or not: 16
	Window time.Duration // 15 s
	Settle time.Duration // after each change, as sessions report their I/O up to a second late: 3 s
	Sample time.Duration // in a window: 1 s
	// MinThroughput is what must be read for a window to prove anything, in bytes a second: 4 MB.
	MinThroughput float64
}

func (p Pace) withDefaults() Pace {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&p.Window, 15*time.Second)
	set(&p.Settle, 3*time.Second)
	set(&p.Sample, time.Second)
	if p.Pairs == 0 {
		p.Pairs = 8
	}
	if p.Most == 0 {
		p.Most = 2 * p.Pairs
	}
	if p.MinThroughput == 0 {
		p.MinThroughput = 4e6
	}
	return p
}

// longest is how long a trial may take.
func (p Pace) longest() time.Duration {
	return time.Duration(2*p.Most) * (p.Window + p.Settle + 2*p.Sample)
}

// Pair is a window with the old value and one with the new, in random order.
type Pair struct {
	Old      Window  `json:"old"`
	New      Window  `json:"new"`
	NewFirst bool    `json:"new_first"`
	Ratio    float64 `json:"ratio,omitempty"`   // of throughput, new to old
	Commits  float64 `json:"commits,omitempty"` // of commits per second
	Unfit    string  `json:"unfit,omitempty"`   // why the pair was not used
}

// Trial is the record of one.
type Trial struct {
	Setting string  `json:"setting"`
	From    string  `json:"from"`
	To      string  `json:"to"`
	Why     string  `json:"why"` // it was tried
	Pairs   []Pair  `json:"pairs"`
	Verdict Verdict `json:"verdict"`
	Alarm   string  `json:"alarm,omitempty"` // why it was broken off
	Kept    bool    `json:"kept"`
}

// alarmError breaks a trial off: the new value does harm.
type alarmError struct{ why string }

func (e *alarmError) Error() string { return e.why }

// try runs a trial from its journal row to its verdict. The setting ends as it was, or kept and proved; where that cannot be brought
// about, the journal row stays open and the error says what is to be done.
func (h *hand) try(ctx context.Context, p Pace, run int64, c candidate, say func(format string, args ...any)) (*Trial, error) {
	was, err := h.standing(ctx, c.setting)
	if err != nil {
		return nil, err
	}
	if edits, err := h.edits(ctx, c.setting); err != nil {
		return nil, err
	} else if len(edits) > 0 {
		return nil, &EditsError{edits}
	}
	t := &Trial{Setting: c.setting, From: was.Value, To: c.to, Why: c.why}
	calm := &calmness{}
	base, err := h.measure(ctx, p, was.Value, func(Window) error { return nil })
	if err != nil {
		return nil, err
	}
	calm.learn(base)
	if base.Throughput() < p.MinThroughput { // no need to touch anything
		t.Verdict.Reason = base.Unfit
		return t, nil
	}
	change, err := h.begin(ctx, run, c.setting, was, c.to, "trial: "+c.why)
	if err != nil {
		return nil, err
	}
	say("trying %s = %s instead of %s, in pairs of windows of %s", c.setting, c.to, was.Value, p.Window)
	err = h.pairs(ctx, p, t, change, was, calm, say)
	var alarm *alarmError
	switch {
	case errors.As(err, &alarm):
		t.Alarm = alarm.why
		return t, h.undo(ctx, change, t, "broken off: "+alarm.why)
	case err != nil:
		reason := "the trial could not be finished: " + err.Error()
		if ctx.Err() != nil {
			reason = "the trial was stopped"
		}
		if undone := h.undo(ctx, change, t, reason); undone != nil {
			return t, errors.Join(err, undone)
		}
		return t, fmt.Errorf("%w; %s is %s again", err, c.setting, was.Value)
	case !t.Verdict.Keep:
		return t, h.undo(ctx, change, t, t.Verdict.Reason)
	}
	if err := h.put(ctx, c.setting, &c.to, c.to); err != nil {
		return t, errors.Join(err, h.undo(ctx, change, t, "the new value could not be kept: "+err.Error()))
	}
	t.Kept = true
	if err := h.end(ctx, change, stateKept, t.Verdict.Reason, t); err != nil {
		t.Kept = false
		return t, errors.Join(err, h.undo(ctx, change, t, "the new value could not be kept: "+err.Error()))
	}
	return t, nil
}

// undoWait bounds putting a value back after the trial's own context has ended.
const undoWait = 3 * time.Second

// undo puts the old value back, also when the daemon is being stopped.
func (h *hand) undo(ctx context.Context, c Change, t *Trial, reason string) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), undoWait)
		defer cancel()
	}
	state, err := h.putBack(ctx, c, reason, t)
	if err != nil {
		return fmt.Errorf("%w. %s", err, c.left())
	}
	if state == stateOvertaken {
		return fmt.Errorf("somebody else has changed %s during the trial; it was left as it is", c.Name)
	}
	return nil
}

// pairs measures until enough pairs can be used, or so many were begun that more would not help.
func (h *hand) pairs(ctx context.Context, p Pace, t *Trial, c Change, was standing, calm *calmness, say func(format string, args ...any)) error {
	var ratios, commits []float64
	for len(t.Pairs) < p.Most && len(ratios) < p.Pairs {
		pair := Pair{NewFirst: rand.IntN(2) == 0}
		for i := range 2 {
			side, entry, value := &pair.Old, was.Entry, was.Value
			if (i == 0) == pair.NewFirst {
				side, entry, value = &pair.New, &c.New, c.New
			}
			if err := h.mine(ctx, c); err != nil {
				return err
			}
			if err := h.put(ctx, c.Name, entry, value); err != nil {
				return err
			}
			if err := h.settled(ctx, c.Name, value); err != nil {
				return err
			}
			if err := sleep(ctx, p.Settle); err != nil {
				return err
			}
			w, err := h.measure(ctx, p, value, func(w Window) error { return calm.check(w, side == &pair.New) })
			if err != nil {
				return err
			}
			*side = w
		}
		calm.learn(pair.Old)
		pair.compare()
		t.Pairs = append(t.Pairs, pair)
		if pair.Unfit != "" {
			say("a pair of windows proves nothing: %s", pair.Unfit)
			continue
		}
		ratios = append(ratios, pair.Ratio)
		if pair.Commits > 0 {
			commits = append(commits, pair.Commits)
		}
		say("pair %d of %d: %s = %s reads %.1f MB/s, %s %.1f MB/s: ×%.2f", len(ratios), p.Pairs, c.Name,
			pair.Old.Value, pair.Old.Throughput()/1e6, pair.New.Value, pair.New.Throughput()/1e6, pair.Ratio)
	}
	t.Verdict = judge(ratios, commits)
	return nil
}

// mine makes sure that nobody else has changed the setting since we last looked.
func (h *hand) mine(ctx context.Context, c Change) error {
	now, err := h.standing(ctx, c.Name)
	if err != nil {
		return err
	}
	if same(now.Entry, c.Old) || now.Entry != nil && *now.Entry == c.New {
		return h.journalled(ctx, c)
	}
	return fmt.Errorf("somebody else has changed %s during the trial", c.Name)
}

// journalled makes sure that the way back is still on record.
func (h *hand) journalled(ctx context.Context, c Change) error {
	var open bool
	err := h.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pgtender.setting_change WHERE id = $1 AND state = 'begun')", c.ID).Scan(&open)
	if err != nil {
		return fmt.Errorf("look for the trial in the journal: %w", err)
	}
	if !open {
		return fmt.Errorf("the trial of %s is no longer in the journal", c.Name)
	}
	return nil
}

// compare fills in the ratios of a pair.
func (p *Pair) compare() {
	switch {
	case p.Old.Unfit != "":
		p.Unfit = p.Old.Unfit
	case p.New.Unfit != "":
		p.Unfit = p.New.Unfit
	default:
		p.Ratio = p.New.Throughput() / p.Old.Throughput()
		if p.Old.CommitRate() >= 1 {
			p.Commits = p.New.CommitRate() / p.Old.CommitRate()
		}
	}
}

// calmness knows what the server was like with the old value, so that harm done by the new one shows at once.
type calmness struct {
	running, rollbacks, lag float64 // the most of any window; rollbacks a second, lag in bytes
}

// What the new value may bring more than the old one, before the trial is broken off.
const (
	moreRunning   = 4         // besides twice as many
	moreRollbacks = 5         // a second, besides twice as many
	moreLag       = 256 << 20 // bytes of WAL, besides twice as many
	// alarmAfter is how many seconds of a window must have passed, as a single sample proves nothing.
	alarmAfter = 3
)

func (c *calmness) learn(w Window) {
	c.running, c.lag = max(c.running, w.Running), max(c.lag, w.Lag)
	c.rollbacks = max(c.rollbacks, w.Rollbacks/max(w.Seconds, 1e-9))
}

// check looks for harm: errors, standbys that fall behind, a crowded CPU.
func (c *calmness) check(w Window, isNew bool) error {
	if !isNew || w.Seconds < alarmAfter {
		return nil
	}
	rollbacks := w.Rollbacks / w.Seconds
	switch {
	case rollbacks > 2*c.rollbacks+moreRollbacks:
		return &alarmError{fmt.Sprintf("%.1f transactions a second were rolled back, at most %.1f with the old value", rollbacks, c.rollbacks)}
	case w.Lag > 2*c.lag+moreLag:
		return &alarmError{fmt.Sprintf("a standby fell %.0f MB of WAL behind, at most %.0f MB with the old value", w.Lag/(1<<20), c.lag/(1<<20))}
	case w.Running > 2*c.running+moreRunning:
		return &alarmError{fmt.Sprintf("%.1f sessions and I/O workers wanted a CPU at once, at most %.1f with the old value", w.Running, c.running)}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

package jobs

import (
	"time"

	"github.com/robfig/cron/v3"
)

// Trigger is why a run took place, as the ledger names it.
type Trigger string

// The triggers.
const (
	OnSchedule Trigger = "schedule"
	CatchUp    Trigger = "catch-up" // its time had passed while nobody could run it
	OnStart    Trigger = "start"    // leadership began
	Manual     Trigger = "manual"
)

// due is a task whose time has come.
type due struct {
	task    int       // index in the runner's tasks
	at      time.Time // the scheduled time it serves: the latest of those that have passed
	trigger Trigger
}

// timetable knows when each task is next due. It has no clock and does nothing by itself.
type timetable struct {
	schedules []cron.Schedule
	next      []time.Time // zero: never
	seen      time.Time   // the latest now
	unserved  map[int]unserved
}

// unserved is a scheduled time whose run could not be begun, or was cut off: the next scheduled time may be a year away.
type unserved struct {
	due
	retry time.Time // when it is due once more
	pause time.Duration
}

const (
	// A time that was not served is due once more after firstRetry, then twice as long, up to maxRetry.
	firstRetry = 15 * time.Second
	maxRetry   = 10 * time.Minute
	// clockStep is how far back the clock may seem to go without being taken for set anew.
	clockStep = time.Minute
	// foresight is how far ahead of this clock another daemon's may be.
	foresight = 10 * time.Minute
)

// newTimetable returns what is due at once: what was never run (a zero time in covered), what asks for it (atStart), and,
// once, what has a scheduled time between its covered one and now. covered is, for each task, up to when
// the ledger says its schedule is served. A task without a schedule is never due.
func newTimetable(schedules []cron.Schedule, covered []time.Time, atStart []bool, now time.Time) (*timetable, []due) {
	tt := &timetable{schedules: schedules, next: make([]time.Time, len(schedules)), seen: now, unserved: map[int]unserved{}}
	var dues []due
	for i, s := range schedules {
		at := now.Truncate(time.Second)
		if atStart[i] {
			dues = append(dues, due{i, at, OnStart})
		} else if s != nil && covered[i].IsZero() {
			dues = append(dues, due{i, at, CatchUp})
		}
		if s == nil {
			continue
		}
		if atStart[i] || covered[i].IsZero() {
			tt.next[i] = s.Next(at)
			continue
		}
		from := covered[i]
		if from.After(now.Add(foresight)) {
			from = now // some clock was wrong: do not wait until that time comes again
		}
		tt.next[i] = s.Next(from)
		if d, ok := tt.pass(i, now); ok {
			d.trigger = CatchUp
			dues = append(dues, d)
		}
	}
	return tt, dues
}

// collect returns what has become due, each task once however many of its times have passed.
func (tt *timetable) collect(now time.Time) []due {
	if now.Before(tt.seen.Add(-clockStep)) {
		for i, s := range tt.schedules {
			if s == nil {
				continue
			}
			if next := s.Next(now); next.Before(tt.next[i]) {
				tt.next[i] = next
			}
		}
	}
	tt.seen = now
	var dues []due
	for i := range tt.schedules {
		u, retries := tt.unserved[i]
		if d, ok := tt.pass(i, now); ok {
			dues = append(dues, d)
			u.retry = time.Time{} // this run serves the earlier time, too
		} else if retries && !u.retry.IsZero() && !u.retry.After(now) {
			dues = append(dues, u.due)
			u.retry = time.Time{}
		}
		if retries {
			tt.unserved[i] = u
		}
	}
	return dues
}

// ended takes in how a run went. What was not served is due once more after a pause that doubles with each attempt.
func (tt *timetable) ended(d due, served bool, now time.Time) {
	if served {
		delete(tt.unserved, d.task)
		return
	}
	u := tt.unserved[d.task]
	u.pause = min(max(2*u.pause, firstRetry), maxRetry)
	u.due, u.trigger, u.retry = d, CatchUp, now.Add(u.pause)
	tt.unserved[d.task] = u
}

// pass moves one task's next time beyond now.
func (tt *timetable) pass(i int, now time.Time) (due, bool) {
	first := tt.next[i]
	if first.IsZero() || first.After(now) {
		return due{}, false
	}
	d := due{i, latest(tt.schedules[i], first, now), OnSchedule}
	if !d.at.Equal(first) {
		d.trigger = CatchUp
	}
	tt.next[i] = tt.schedules[i].Next(d.at)
	return d, true
}

// wake returns the earliest next time, or zero.
func (tt *timetable) wake() time.Time {
	var earliest time.Time
	for _, t := range tt.next {
		if !t.IsZero() && (earliest.IsZero() || t.Before(earliest)) {
			earliest = t
		}
	}
	for _, u := range tt.unserved {
		if !u.retry.IsZero() && (earliest.IsZero() || u.retry.Before(earliest)) {
			earliest = u.retry
		}
	}
	return earliest
}

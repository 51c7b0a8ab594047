package jobs

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
)

// inZone gives a cron schedule the meaning people expect where clocks are changed. A time of day that a change
// skips comes at the moment of the change, one that happens twice counts the first time, and a day whose
// midnight is missing is not lost. Where every hour is meant ("*/5 * * * *"), real time counts: nothing is
// skipped or repeated. Schedules of other kinds (@every) know no clock and stay as they are.
func inZone(s cron.Schedule, loc *time.Location) cron.Schedule {
	if declared, ok := s.(config.Schedule); ok {
		s = declared.Schedule
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok {
		return s
	}
	if spec.Location != nil && spec.Location != time.Local {
		loc = spec.Location
	}
	naive := *spec
	naive.Location = time.UTC
	if isStar(spec.Hour) {
		return everyHour{&naive, loc}
	}
	return timeOfDay{&naive, loc}
}

// isStar tells whether a field of a SpecSchedule was written as "*": the library keeps that in the top bit.
func isStar(field uint64) bool { return field&(1<<63) != 0 }

// wall is what a clock in loc shows at t, as if it were UTC.
func wall(t time.Time, loc *time.Location) time.Time {
	t = t.In(loc)
	y, m, d := t.Date()
	h, mi, s := t.Clock()
	return time.Date(y, m, d, h, mi, s, t.Nanosecond(), time.UTC)
}

// timeOfDay is a schedule with given hours.
type timeOfDay struct {
	naive *cron.SpecSchedule
	loc   *time.Location
}

func (s timeOfDay) Next(t time.Time) time.Time {
	for w := wall(t, s.loc); ; {
		if w = s.naive.Next(w); w.IsZero() {
			return w
		}
		// In the second pass of a repeated hour the clock shows times whose turn has been.
		if at := instant(w, s.loc); at.After(t) {
			return at
		}
	}
}

// instant is when clocks in loc first show w; if they never do, the moment at which they jump over it.
func instant(w time.Time, loc *time.Location) time.Time {
	y, m, d := w.Date()
	h, mi, s := w.Clock()
	t := time.Date(y, m, d, h, mi, s, w.Nanosecond(), loc)
	start, end := t.ZoneBounds()
	switch shown := wall(t, loc); {
	case shown.After(w):
		return start
	case shown.Before(w):
		return end
	}
	if !start.IsZero() {
		_, offset := start.Add(-1).Zone()
		if earlier := w.Add(-time.Duration(offset) * time.Second); earlier.Before(start) {
			return earlier.In(loc)
		}
	}
	return t
}

// everyHour is a schedule that leaves the hour open. Between two changes of the clocks it is evaluated with a fixed
// offset.
type everyHour struct {
	naive *cron.SpecSchedule
	loc   *time.Location
}

func (s everyHour) Next(t time.Time) time.Time {
	after := t
	for at := t.In(s.loc); ; {
		_, offset := at.Zone()
		_, end := at.ZoneBounds()
		shift := time.Duration(offset) * time.Second
		w := s.naive.Next(after.UTC().Add(shift))
		if w.IsZero() {
			return w
		}
		if next := w.Add(-shift).In(s.loc); end.IsZero() || next.Before(end) {
			return next
		}
		at, after = end, end.Add(-1) // the next stretch begins at end
	}
}

// latest returns the last time of the schedule that is not after now, given one such time.
func latest(s cron.Schedule, first, now time.Time) time.Time {
	passed := func(t time.Time) bool { next := s.Next(t); return !next.IsZero() && !next.After(now) }
	if !passed(first) {
		return first
	}
	low, high := first, now // passed(low), not passed(high)
	for high.Sub(low) > time.Second {
		if middle := low.Add(high.Sub(low) / 2); passed(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return s.Next(low)
}

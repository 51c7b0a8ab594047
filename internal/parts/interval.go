package parts

import (
	"fmt"
	"time"

	"github.com/pgtender/pgtender/internal/config"
)

// period is one interval of a unit, counted by the calendar: its first day is all that matters.
type period struct {
	unit  config.Unit
	first time.Time // midnight UTC of the first day, as a date
}

// periodOf is the period that a calendar date lies in.
func periodOf(u config.Unit, date time.Time) period {
	y, m, d := date.Date()
	switch u {
	case config.Day:
	case config.Week:
		d -= (int(date.Weekday()) + 6) % 7 // back to Monday
	case config.Month:
		d = 1
	case config.Quarter:
		m, d = m-(m-1)%3, 1
	case config.Year:
		m, d = 1, 1
	}
	return period{u, time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

// add is the n-th period after p.
func (p period) add(n int) period {
	days, months := 0, 0
	switch p.unit {
	case config.Day:
		days = n
	case config.Week:
		days = 7 * n
	case config.Month:
		months = n
	case config.Quarter:
		months = 3 * n
	case config.Year:
		months = 12 * n
	}
	return period{p.unit, p.first.AddDate(0, months, days)}
}

// start is the instant at which the period begins in loc, as date_trunc(unit, …, zone) says.
func (p period) start(loc *time.Location) time.Time { return config.OnWall(p.first, loc) }

// label is the period's part of a name: 2026_12_31, 2026_w53, 2026_12, 2026_q4, 2026.
func (p period) label() string {
	y, m, d := p.first.Date()
	switch p.unit {
	case config.Week:
		year, week := p.first.ISOWeek()
		return fmt.Sprintf("%04d_w%02d", year, week)
	case config.Month:
		return fmt.Sprintf("%04d_%02d", y, m)
	case config.Quarter:
		return fmt.Sprintf("%04d_q%d", y, (int(m)+2)/3)
	case config.Year:
		return fmt.Sprintf("%04d", y)
	}
	return fmt.Sprintf("%04d_%02d_%02d", y, m, d)
}

// current is the period that holds t: starts at or before it, and the next one starts after it. Where a clock set
// back across midnight shows a date again that had ended, the instant decides, not the date.
func current(u config.Unit, t time.Time, loc *time.Location) period {
	t = t.In(loc)
	y, m, d := t.Date()
	p := periodOf(u, time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
	for p.start(loc).After(t) {
		p = p.add(-1)
	}
	for !p.add(1).start(loc).After(t) {
		p = p.add(1)
	}
	return p
}

// Floor is the beginning of the interval that t lies in.
func Floor(u config.Unit, t time.Time, loc *time.Location) time.Time {
	return current(u, t, loc).start(loc)
}

// Boundaries are the beginnings of the interval that t lies in and of the next ones, n+1 in all; n intervals lie
// between them. A day that a zone skipped makes no interval.
func Boundaries(u config.Unit, t time.Time, n int, loc *time.Location) []time.Time {
	var list []time.Time
	for _, p := range periods(u, t, n, loc) {
		list = append(list, p.start(loc))
	}
	return list
}

// periods are the n+1 periods whose starts Boundaries lists.
func periods(u config.Unit, t time.Time, n int, loc *time.Location) []period {
	p := current(u, t, loc)
	list := []period{p}
	for len(list) <= n {
		next := p.add(1)
		if !next.start(loc).After(p.start(loc)) {
			p = next // the zone has no such day; it must not count
			list[len(list)-1] = p
			continue
		}
		p = next
		list = append(list, p)
	}
	return list
}

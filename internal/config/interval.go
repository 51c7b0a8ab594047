package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Interval is a span of calendar time as PostgreSQL writes it ("1 year", "90 days", "2 minutes").
type Interval struct {
	Text     string
	Months   int
	Days     int
	Duration time.Duration
}

func (i Interval) String() string { return i.Text }

// IsZero reports whether the interval is empty.
func (i Interval) IsZero() bool { return i.Months == 0 && i.Days == 0 && i.Duration == 0 }

// longer reports whether i is longer than o, whenever they end.
func (i Interval) longer(o Interval) bool {
	for month := range time.Month(12) { // months differ in length
		t := time.Date(2025, month+1, 1, 0, 0, 0, 0, time.UTC)
		if !i.Before(t, time.UTC).Before(o.Before(t, time.UTC)) {
			return false
		}
	}
	return true
}

// Before returns t minus the interval exactly as PostgreSQL computes `timestamptz - interval` in a
// session whose TimeZone is loc: first the months, clamped to the last day of the month (31 March − 1
// month = 28 or 29 February), then the days, each by the wall clock of loc, then the time by the
// absolute clock.
func (i Interval) Before(t time.Time, loc *time.Location) time.Time {
	t = t.In(loc)
	if i.Months != 0 {
		y, m, d := t.Date()
		first := time.Date(y, m-time.Month(i.Months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		t = onWall(first.Year(), first.Month(), min(d, last), t, loc)
	}
	if i.Days != 0 {
		y, m, d := t.Date()
		t = onWall(y, m, d-i.Days, t, loc)
	}
	return t.Add(-i.Duration)
}

// onWall is the instant at which a clock on the wall in loc shows the given date and the time of day
// of clock. As in PostgreSQL, a time that a transition skips is read with the offset before it, and
// one that occurs twice with the offset after it. (time.Date promises neither.)
func onWall(y int, m time.Month, d int, clock time.Time, loc *time.Location) time.Time {
	h, mi, s := clock.Clock()
	wall := time.Date(y, m, d, h, mi, s, clock.Nanosecond(), time.UTC)
	dayBefore := wall.Add(-24 * time.Hour).In(loc)
	_, offset := dayBefore.Zone()
	before := wall.Add(-time.Duration(offset) * time.Second).In(loc)
	_, boundary := dayBefore.ZoneBounds()
	if boundary.IsZero() {
		return before
	}
	_, offset = boundary.In(loc).Zone()
	after := wall.Add(-time.Duration(offset) * time.Second).In(loc)
	switch {
	case before.Before(boundary) && after.Before(boundary):
		return before
	case before.After(boundary) && !after.Before(boundary):
		return after
	case before.After(after):
		return before
	}
	return after
}

const (
	intervalExample = `write for example "1 year", "90 days" or "2 minutes"`
	maxYears        = 100 // twice that still fits into a time.Duration
)

// ParseInterval reads an interval as PostgreSQL writes it: "1 year 6 mons", "90 days", "02:30:00".
// What it accepts, PostgreSQL accepts, and to the same months, days and microseconds. The error says
// what is wrong with the text and gives a right one; it does not repeat the text.
func ParseInterval(text string) (Interval, error) {
	p := intervalParser{rest: strings.ToLower(strings.TrimSpace(text)), seen: map[string]bool{}}
	iv := Interval{Text: strings.TrimSpace(text)}
	switch {
	case p.rest == "":
		return Interval{}, errors.New("is empty: " + intervalExample)
	case strings.HasPrefix(p.rest, "p"):
		return Interval{}, errors.New(`is an ISO 8601 duration, which is not read: write "1 year" for "P1Y"`)
	case strings.Contains(p.rest, "-") || strings.HasSuffix(p.rest, " ago"):
		return Interval{}, errors.New("is negative: " + intervalExample)
	}
	for p.rest != "" {
		if err := p.next(&iv); err != nil {
			return Interval{}, err
		}
		if iv.Months > maxYears*12 || iv.Days > maxYears*366 || iv.Duration > maxYears*366*24*time.Hour {
			return Interval{}, tooLong()
		}
		if p.rest != "" && !p.skipSpace() {
			return Interval{}, fmt.Errorf("is not understood at %q: %s", p.rest, intervalExample)
		}
	}
	if iv.IsZero() {
		return Interval{}, errors.New("is zero: " + intervalExample)
	}
	return iv, nil
}

func tooLong() error { return fmt.Errorf("is longer than %d years", maxYears) }

type intervalParser struct {
	rest string
	seen map[string]bool
}

// next takes one "number unit" pair, or a time of the form hh:mm or hh:mm:ss.
func (p *intervalParser) next(iv *Interval) error {
	number := p.take(func(c byte) bool { return c >= '0' && c <= '9' })
	switch {
	case number == "":
		return fmt.Errorf("is not understood at %q: %s", p.rest, intervalExample)
	case strings.HasPrefix(p.rest, ":"):
		return p.clock(number, iv)
	case strings.HasPrefix(p.rest, "."):
		return errors.New(`has a fraction, which is not read: write "90 minutes" for "1.5 hours"`)
	}
	n, err := strconv.Atoi(number)
	if err != nil || n > math.MaxInt32 {
		return tooLong()
	}
	p.skipSpace()
	word := p.take(func(c byte) bool { return c >= 'a' && c <= 'z' })
	if word == "" {
		return fmt.Errorf("has no unit after %s: %s", number, intervalExample)
	}
	return p.add(n, word, iv)
}

func (p *intervalParser) add(n int, word string, iv *Interval) error {
	unit := unitNamed(word)
	switch {
	case word == "m":
		return errors.New(`has the unit "m", which may be read as minutes or months: write "min" or "mon"`)
	case unit == "":
		return fmt.Errorf("has an unknown unit %q%s", word, suggest(word, "year", "month", "week", "day", "hour", "minute", "second"))
	case p.seen[unit]:
		return fmt.Errorf("gives %ss twice: %s", unit, intervalExample)
	}
	p.seen[unit] = true
	const limit = time.Duration(maxYears*366*24 + 1) // hours: more is an error in any case, and must not overflow
	switch unit {
	case "year":
		iv.Months += n * 12
	case "month":
		iv.Months += n
	case "week":
		iv.Days += n * 7
	case "day":
		iv.Days += n
	case "hour":
		iv.Duration += min(time.Duration(n), limit) * time.Hour
	case "minute":
		iv.Duration += min(time.Duration(n), limit*60) * time.Minute
	case "second":
		iv.Duration += min(time.Duration(n), limit*3600) * time.Second
	}
	return nil
}

func (p *intervalParser) clock(hours string, iv *Interval) error {
	if p.seen["hour"] || p.seen["minute"] || p.seen["second"] {
		return errors.New("gives the time of day twice: " + intervalExample)
	}
	p.seen["hour"], p.seen["minute"], p.seen["second"] = true, true, true
	parts := []string{hours}
	for len(parts) < 3 && strings.HasPrefix(p.rest, ":") {
		p.rest = p.rest[1:]
		parts = append(parts, p.take(func(c byte) bool { return c >= '0' && c <= '9' }))
	}
	if strings.HasPrefix(p.rest, ".") || strings.HasPrefix(p.rest, ":") {
		return errors.New(`has a time of day that is not understood: write for example "02:30:00"`)
	}
	units := []time.Duration{time.Hour, time.Minute, time.Second}
	for n, part := range parts {
		value, err := strconv.Atoi(part)
		if err != nil || len(part) > 6 || n > 0 && (value > 59 || len(part) > 2) {
			return errors.New(`has a time of day that is not understood: write for example "02:30:00"`)
		}
		iv.Duration += time.Duration(value) * units[n]
	}
	return nil
}

// skipSpace reports whether there was any.
func (p *intervalParser) skipSpace() bool {
	return p.take(func(c byte) bool { return c == ' ' || c == '\t' }) != ""
}

func (p *intervalParser) take(accept func(byte) bool) string {
	n := 0
	for n < len(p.rest) && accept(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// unitNamed returns the unit of an English name or abbreviation that PostgreSQL knows too.
func unitNamed(word string) string {
	switch word {
	case "y", "yr", "yrs", "year", "years":
		return "year"
	case "mon", "mons", "month", "months":
		return "month"
	case "w", "week", "weeks":
		return "week"
	case "d", "day", "days":
		return "day"
	case "h", "hr", "hrs", "hour", "hours":
		return "hour"
	case "min", "mins", "minute", "minutes":
		return "minute"
	case "s", "sec", "secs", "second", "seconds":
		return "second"
	}
	return ""
}

package web

import (
	"strconv"
	"strings"
	"time"
)

// span writes seconds as people say them.
func span(s float64) string {
	abs := max(s, -s)
	switch {
	case abs < 120:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	case abs < 2*3600:
		return strconv.FormatFloat(s/60, 'f', 0, 64) + " min"
	case abs < 48*3600:
		return strconv.FormatFloat(s/3600, 'f', 0, 64) + " h"
	}
	return strconv.FormatFloat(s/86400, 'f', 0, 64) + " days"
}

// took writes a duration with the digits that matter.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return span(d.Seconds())
}

// count writes a number with thin spaces between thousands.
func count(n float64) string {
	digits := strconv.FormatFloat(n, 'f', -1, 64)
	whole, fraction, _ := strings.Cut(digits, ".")
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 && whole[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return b.String()
}

// plural counts things in words: 1 partition, 1 200 partitions.
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return count(float64(n)) + " " + noun
}

// sizeText writes a size as PostgreSQL does: in powers of 1024.
func sizeText(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for size >= 1000 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	digits := 0
	if unit > 1 && size < 10 {
		digits = 1
	}
	return strconv.FormatFloat(size, 'f', digits, 64) + " " + units[unit]
}

// rows writes how many rows there are; estimated ones are "about".
func rows(n *int64, exact bool) string {
	switch {
	case n == nil:
		return "–"
	case exact || *n == 0:
		return count(float64(*n))
	}
	return "≈ " + count(float64(*n))
}

// moment writes an instant as clocks in loc show it, no longer than needed.
func moment(t time.Time, loc *time.Location) string {
	t = t.In(loc)
	h, m, s := t.Clock()
	switch {
	case h == 0 && m == 0 && s == 0:
		return t.Format("2006-01-02")
	case s == 0:
		return t.Format("2006-01-02 15:04")
	}
	return t.Format("2006-01-02 15:04:05")
}

// interval writes a piece's bounds.
func interval(from, to time.Time, loc *time.Location) string {
	lower, upper := "the beginning", "the end"
	if !from.IsZero() {
		lower = moment(from, loc)
	}
	if !to.IsZero() {
		upper = moment(to, loc)
	}
	if from.IsZero() && to.IsZero() {
		return "–"
	}
	return lower + " → " + upper
}

// words cuts a name where a line may be broken: after dots and underscores; and an address after its parts.
func words(name string) []string {
	var out []string
	marks := "._/"
	if strings.Contains(name, "://") {
		marks = "/@"
	}
	for name != "" {
		i := strings.IndexAny(name, marks) + 1
		if i == 0 {
			i = len(name)
		}
		out = append(out, name[:i])
		name = name[i:]
	}
	return out
}

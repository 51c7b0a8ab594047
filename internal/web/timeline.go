package web

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A time line is an SVG whose lengths across are percentages, so that it fits any screen and its text keeps its size. Heights are pixels.
const (
	lineTop   = 16 // of the bars: above is room for "now"
	lineBase  = 64 // of the bars
	lineStrip = 5  // height of the strip below them that shows the state even where nothing is in
	maxBars   = 240
)

// bar is one piece on a time line.
type bar struct {
	Class   string // its state
	X, W    string // percent
	Y, H    int    // of what is in it; H 0: nothing, or not known
	Tooltip string
}

// tick is a date below a time line.
type tick struct {
	X     string
	Text  string
	Minor bool // left out on a narrow screen
}

// timeline is the picture of one table's time.
type timeline struct {
	Bars  []bar
	Ticks []tick
	Now   string // percent; empty: outside
	Label string // the picture in words
}

// newTimeline draws the pieces that have a place in time; nil when there are none.
func newTimeline(pieces []Piece, now time.Time, loc *time.Location) *timeline {
	placed := slices.DeleteFunc(slices.Clone(pieces), func(p Piece) bool { return p.From.IsZero() && p.To.IsZero() })
	if len(placed) == 0 {
		return nil
	}
	from, to := extent(placed)
	if !to.After(from) {
		return nil
	}
	placed = merge(placed, from, to)
	var most int64 = 1
	for _, p := range placed {
		if p.Rows != nil {
			most = max(most, *p.Rows)
		}
	}
	at := func(t time.Time) float64 { return 100 * t.Sub(from).Seconds() / to.Sub(from).Seconds() }
	line := &timeline{}
	base := map[string]int{} // where a bar stands that has another below it: rows of a month that were archived while it lives on
	for _, p := range placed {
		x, end := 0.0, 100.0
		if !p.From.IsZero() {
			x = at(p.From)
		}
		if !p.To.IsZero() {
			end = at(p.To)
		}
		b := bar{Class: p.State, X: percent(x), W: percent(max(end-x, 0.15)), Tooltip: describe(p, loc)}
		if p.Rows != nil && *p.Rows > 0 {
			b.H = max(int(float64(lineBase-lineTop)*float64(*p.Rows)/float64(most)), 2)
		}
		b.Y = max(lineBase-b.H-base[b.X], lineTop)
		base[b.X] += b.H
		line.Bars = append(line.Bars, b)
	}
	if !now.Before(from) && !now.After(to) {
		line.Now = percent(at(now))
	}
	line.Ticks = ticks(from, to, loc, at)
	line.Label = "Time line: " + tally(pieces)
	return line
}

// extent is the time that the pieces cover. A piece without an end gets a tenth of it.
func extent(pieces []Piece) (from, to time.Time) {
	open := [2]bool{}
	for _, p := range pieces {
		for _, t := range []time.Time{p.From, p.To} {
			if t.IsZero() {
				continue
			}
			if from.IsZero() || t.Before(from) {
				from = t
			}
			if to.IsZero() || t.After(to) {
				to = t
			}
		}
		open[0], open[1] = open[0] || p.From.IsZero(), open[1] || p.To.IsZero()
	}
	more := max(to.Sub(from)/10, time.Hour)
	if open[0] {
		from = from.Add(-more)
	}
	if open[1] {
		to = to.Add(more)
	}
	return from, to
}

// merge makes at most about maxBars of any number of pieces: neighbours of one state that would be narrower than a bar become one. What
// is wrong is never merged with what is well, as its state is another.
func merge(pieces []Piece, from, to time.Time) []Piece {
	if len(pieces) <= maxBars {
		return pieces
	}
	width := to.Sub(from) / maxBars
	var out []Piece
	merged := 0
	for _, p := range pieces {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.State == p.State && last.To.Equal(p.From) && !p.To.IsZero() && p.To.Sub(last.From) <= width {
				merged++
				last.To, last.Name = p.To, plural(merged+1, "partition")
				last.Rows, last.Bytes, last.Exact = sum(last.Rows, p.Rows), sum(last.Bytes, p.Bytes), last.Exact && p.Exact
				continue
			}
		}
		merged = 0
		out = append(out, p)
	}
	return out
}

func sum(a, b *int64) *int64 {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	n := *a + *b
	return &n
}

func percent(x float64) string { return strconv.FormatFloat(min(max(x, 0), 100), 'f', 3, 64) + "%" }

// stateText is each state in words.
var stateText = map[string]string{
	"archived": "archived", "live": "live", "current": "current", "ahead": "ahead", "hole": "hole: no partition", "missing": "wanted, not made yet",
	"detaching": "detach not finished", "default": "DEFAULT",
}

func describe(p Piece, loc *time.Location) string {
	text := p.Name
	if text != "" {
		text += "\n"
	}
	text += stateText[p.State] + ", " + interval(p.From, p.To, loc)
	if p.Rows != nil {
		text += "\n" + rows(p.Rows, p.Exact) + " rows"
	}
	if p.Bytes != nil {
		text += ", " + sizeText(*p.Bytes)
	}
	return text
}

// tally counts the pieces by state.
func tally(pieces []Piece) string {
	n := map[string]int{}
	for _, p := range pieces {
		n[p.State]++
	}
	text := fmt.Sprintf("%d archived, %d live, %d ahead", n["archived"], n["live"]+n["current"], n["ahead"])
	for _, state := range []string{"hole", "missing", "detaching"} {
		if n[state] > 0 {
			text += fmt.Sprintf(", %d %s", n[state], stateText[state])
		}
	}
	return text
}

// steps are the distances of ticks: months, or else days.
var steps = []struct{ months, days int }{{0, 1}, {0, 2}, {0, 7}, {1, 0}, {2, 0}, {3, 0}, {6, 0}, {12, 0}, {24, 0}, {60, 0}, {120, 0}, {600, 0}, {1200, 0}}

// ticks are at most nine dates at round times, in loc.
func ticks(from, to time.Time, loc *time.Location, at func(time.Time) float64) []tick {
	for _, s := range steps {
		length := time.Duration(s.days)*24*time.Hour + time.Duration(s.months)*30*24*time.Hour
		if to.Sub(from)/length > 9 {
			continue
		}
		y, m, d := from.In(loc).Date()
		t := time.Date(y, m, d, 0, 0, 0, 0, loc)
		format := "Jan 2"
		if s.months > 0 {
			t = time.Date(y, 1, 1, 0, 0, 0, 0, loc)
			if s.months > 12 {
				t = time.Date(y-y%(s.months/12), 1, 1, 0, 0, 0, 0, loc)
			}
			format = "2006-01"
		}
		if s.months >= 12 {
			format = "2006"
		}
		var out []tick
		for ; t.Before(to); t = t.AddDate(0, s.months, s.days) {
			if x := at(t); !t.Before(from) {
				next := tick{X: percent(x), Text: t.Format(format), Minor: len(out)%2 == 1 || x > 84}
				if x > 93 { // there is no room for it
					next.Text = ""
				}
				out = append(out, next)
			}
		}
		return out
	}
	return nil
}

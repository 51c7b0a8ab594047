package checks

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// Most series of a scrape come from checks. They are written as text straight from the answers: made into metrics first, sorted and
// compared, as the client library does for any collector, they would take several times as long, and most of the garbage.

// Text writes what the checks know, and no value of what they do not, in Prometheus' text format: the families that Collect leaves out.
func (e *Exporter) Text(b *bytes.Buffer) {
	now, results := e.opt.Collector.Now(), e.opt.Collector.Results()
	for _, f := range e.ofChecks {
		w := series{b, f, false}
		for i := range results {
			w.of(&results[i], now)
		}
	}
}

// series writes one family.
type series struct {
	b      *bytes.Buffer
	family Family
	begun  bool // its head is written
}

// of writes what the family has of one answer.
func (w *series) of(r *Result, now time.Time) {
	switch {
	case r.Off != "":
		if w.family.Name == offFamily {
			w.line(1, r.Check)
		}
		return
	case w.family.Name == ageFamily:
		if !r.At.IsZero() {
			w.line(max(now.Sub(r.At).Seconds(), 0), r.Check)
		}
		return
	case w.family.Name == upFamily:
		w.line(up(r), r.Check)
		return
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Status != Unknown {
			w.finding(r.Check, f)
		}
	}
}

func (w *series) finding(check string, f *Finding) {
	switch w.family.Name {
	case statusFamily:
		w.line(float64(f.Status), check, f.Object)
	case valueFamily:
		w.line(f.Value, check, f.Object)
	default:
		for _, s := range f.Samples {
			if s.Metric == w.family.Name {
				w.line(s.Value, s.Labels...)
			}
		}
	}
}

// up is 1 when the answer leaves nothing unknown.
func up(r *Result) float64 {
	if r.leaves(Unknown) {
		return 0
	}
	return 1
}

// line writes one series, and before the first what the family is.
func (w *series) line(value float64, labels ...string) {
	if !w.begun {
		w.begun = true
		w.text("# HELP ", w.family.Name, " ", w.family.Help, "\n# TYPE ", w.family.Name, " ", string(w.family.Kind), "\n")
	}
	w.text(w.family.Name)
	for i, name := range w.family.Labels {
		w.text(opening(i), name, `="`)
		w.escaped(labels[i])
		w.text(`"`)
	}
	if len(w.family.Labels) > 0 {
		w.text("}")
	}
	w.text(" ")
	w.b.Write(number(w.b.AvailableBuffer(), value))
	w.text("\n")
}

func (w *series) text(parts ...string) {
	for _, p := range parts {
		w.b.WriteString(p)
	}
}

func opening(i int) string {
	if i == 0 {
		return "{"
	}
	return ","
}

// escaped writes the value of a label. An own check can say anything.
func (w *series) escaped(s string) {
	s = strings.ToValidUTF8(s, "\ufffd")
	for {
		i := strings.IndexAny(s, "\\\"\n")
		if i < 0 {
			w.b.WriteString(s)
			return
		}
		w.b.WriteString(s[:i])
		w.b.WriteString(map[byte]string{'\\': `\\`, '"': `\"`, '\n': `\n`}[s[i]])
		s = s[i+1:]
	}
}

func number(b []byte, value float64) []byte {
	switch {
	case math.IsInf(value, 1):
		return append(b, "+Inf"...)
	case math.IsInf(value, -1):
		return append(b, "-Inf"...)
	case math.IsNaN(value):
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, value, 'g', -1, 64)
}

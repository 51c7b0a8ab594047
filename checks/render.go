package checks

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Report is what `pgtender check --format json` prints and /status.json has under "checks". Fields are added, never changed.
type Report struct {
	Status string        `json:"status"` // the worst of all: ok, warning, critical, unknown
	Checks []CheckReport `json:"checks"` // sorted by group and name
}

// CheckReport is one check in a Report.
type CheckReport struct {
	Check    string          `json:"check"`
	Group    string          `json:"group"`
	Status   string          `json:"status"`
	Unit     string          `json:"unit,omitempty"`
	Off      string          `json:"off,omitempty"` // where the file switches it off; then it was not looked at
	Age      *float64        `json:"age_seconds"`   // since it last had an answer; null: never
	Took     float64         `json:"took_seconds"`
	Error    string          `json:"error,omitempty"` // why the last try failed
	Findings []FindingReport `json:"findings"`
}

// FindingReport is one object's state in a Report.
type FindingReport struct {
	Object  string   `json:"object"` // "" for the database
	Status  string   `json:"status"`
	Value   *float64 `json:"value"` // in the check's unit; null when it is not known, or has no end
	Message string   `json:"message"`
	Remedy  string   `json:"remedy,omitempty"`
}

// NewReport puts results into the documented form.
func NewReport(results []Result, now time.Time) Report {
	report := Report{Status: Worst(results).String(), Checks: make([]CheckReport, 0, len(results))}
	for i := range results {
		r := &results[i]
		c := CheckReport{Check: r.Check, Group: r.Group, Status: r.Status().String(), Unit: r.Unit, Off: r.Off, Took: r.Took.Seconds()}
		if !r.At.IsZero() {
			age := max(now.Sub(r.At).Seconds(), 0)
			c.Age = &age
		}
		if r.Err != nil {
			c.Error = r.Err.Error()
		}
		for _, f := range r.Findings {
			out := FindingReport{Object: f.Object, Status: f.Status.String(), Message: f.Message, Remedy: f.Remedy}
			if v := f.Value; f.Status != Unknown && !math.IsInf(v, 0) && !math.IsNaN(v) {
				out.Value = &v
			}
			c.Findings = append(c.Findings, out)
		}
		report.Checks = append(report.Checks, c)
	}
	return report
}

// RenderJSON writes the report.
func RenderJSON(w io.Writer, results []Result, now time.Time) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(NewReport(results, now))
}

// RenderText writes the findings for people: what is wrong first, the worst at the top, then the rest in a line each. The first
// line sums up, as monitoring systems show it.
func RenderText(w io.Writer, results []Result) error {
	var b strings.Builder
	counts := map[Status]int{}
	var lines [4][]string
	var off []string
	for i := range results {
		r := &results[i]
		if r.Off != "" {
			off = append(off, fmt.Sprintf("%-8s  %s  %s", "OFF", r.Check, r.Findings[0].Message))
			continue
		}
		for _, f := range r.Findings {
			counts[f.Status]++
			line := fmt.Sprintf("%-8s  %s", strings.ToUpper(f.Status.String()), r.Check)
			if f.Object != "" {
				line += "  " + visible(f.Object)
			}
			line += "  " + visible(f.Message)
			if f.Remedy != "" {
				line += "\n          → " + strings.ReplaceAll(f.Remedy, "\n", "\n            ")
			}
			lines[f.Status] = append(lines[f.Status], line)
		}
	}
	fmt.Fprintf(&b, "PGTENDER %s: %d critical, %d unknown, %s, %d ok",
		strings.ToUpper(Worst(results).String()), counts[Critical], counts[Unknown], many(int64(counts[Warning]), "warning"), counts[OK])
	if len(off) > 0 {
		fmt.Fprintf(&b, ", %s switched off", many(int64(len(off)), "check"))
	}
	b.WriteString("\n")
	for _, s := range []Status{Critical, Unknown, Warning, OK} {
		for _, line := range lines[s] {
			b.WriteString(line + "\n")
		}
	}
	for _, line := range off {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// visible is a name, or what was said, as it can stand in a line: what an own check yields can hold anything.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// ExitCode is the exit code of `pgtender check`, by the monitoring-plugin convention: 0 ok, 1 warning, 2 critical, 3 unknown.
func ExitCode(results []Result) int { return int(Worst(results)) }

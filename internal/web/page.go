package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgtender/pgtender/checks"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var style string

// page renders the status.
type page struct {
	source   Source
	template *template.Template
	policy   string // Content-Security-Policy
}

func newPage(source Source) (*page, error) {
	t, err := template.New("status").Funcs(template.FuncMap{
		"span": span, "count": count, "style": func() template.CSS { return template.CSS(style) }, "wrong": wrong, "fine": fine,
		"zero": func(n float64) bool { return n == 0 },
	}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("read the status page: %w", err)
	}
	// Nothing is loaded from anywhere and nothing runs: whatever gets into a name or a message stays text.
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return &page{source, t, policy}, nil
}

func (p *page) json(w http.ResponseWriter, _ *http.Request) {
	text, err := json.MarshalIndent(p.source.status(), "", "  ")
	if err != nil {
		plain(w, http.StatusInternalServerError, "the status cannot be written: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(text, '\n'))
}

func (p *page) html(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	status := p.source.status()
	if err := p.template.Execute(&b, view{status}); err != nil {
		plain(w, http.StatusInternalServerError, "the status page cannot be written: "+err.Error()+"\n")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes())
}

// view is the status with what only the page needs.
type view struct{ *Status }

// Ago is how long ago t was, and In is how long it is until t; both as people say it.
func (v view) Ago(t time.Time) string { return span(v.Now.Sub(t).Seconds()) + " ago" }

// In says when t will be.
func (v view) In(t time.Time) string {
	if !t.After(v.Now) {
		return "due now"
	}
	return "in " + span(t.Sub(v.Now).Seconds())
}

// Took is how long a job's last run took.
func (v view) Took(j Job) string {
	d := j.Finished.Sub(j.Started)
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return span(d.Seconds())
}

// Stamp is a time for machines and for a title.
func (v view) Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// trouble is one finding that is not ok, with the check it is of.
type trouble struct {
	Check string
	checks.FindingReport
}

// wrong lists what is not ok, worst first.
func wrong(r checks.Report) []trouble {
	var out []trouble
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			if f.Status != checks.OK.String() {
				out = append(out, trouble{c.Check, f})
			}
		}
	}
	rank := func(t trouble) int { return slices.Index([]string{"critical", "unknown", "warning"}, t.Status) }
	slices.SortStableFunc(out, func(a, b trouble) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// fine lists the checks that found nothing wrong.
func fine(r checks.Report) []checks.CheckReport {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c checks.CheckReport) bool { return c.Status != checks.OK.String() })
}

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

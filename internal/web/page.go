package web

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
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
		"span": span, "count": count, "words": words, "join": strings.Join,
		"style": func() template.CSS { return template.CSS(style) }, "zero": func(n float64) bool { return n == 0 },
	}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("read the status page: %w", err)
	}
	// Nothing is loaded from anywhere and nothing runs: whatever gets into a name or a message stays text.
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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

func (p *page) html(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	shown := view{Status: p.source.status(), Still: r.URL.Query().Has("still"), loc: p.source.location()}
	if err := p.template.Execute(&b, shown); err != nil {
		plain(w, http.StatusInternalServerError, "the status page cannot be written: "+err.Error()+"\n")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = io.WriteString(w, b.String())
}

// icon is the page's icon: the colour tells the state, so that a tab in the background does.
func (p *page) icon(w http.ResponseWriter, r *http.Request) {
	colour := "#64748b"
	for status, c := range map[string]string{"ok": "#1f9d63", "warning": "#e0a100", "critical": "#d0303f", "unknown": "#7a68c8"} {
		if r.URL.RawQuery == status {
			colour = c
		}
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "max-age=86400")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="%s"/></svg>`, colour)
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Problem is one thing that is wrong, and where.
type Problem struct {
	Pos  Pos // zero when it is not about a place in a file
	Text string
}

func (p Problem) String() string {
	if at := p.Pos.String(); at != "" {
		return at + ": " + p.Text
	}
	return p.Text
}

// Error is everything that is wrong with a configuration, in the order of the file.
type Error struct {
	Problems []Problem // at least one
}

// Error puts each problem on a line of its own. No line holds a password or another secret.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong, so that one run tells everything.
type problems struct {
	file    string
	list    []Problem
	secrets secrets
}

func (p *problems) add(pos Pos, format string, args ...any) {
	p.list = append(p.list, Problem{pos, fmt.Sprintf(format, args...)})
}

// addDiagnostics takes over what the HCL library found. Its own printer is not used because it quotes source
// lines and values, which may hold secrets.
func (p *problems) addDiagnostics(diags hcl.Diagnostics, context string) {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := lowerFirst(d.Summary)
		if d.Detail != "" {
			detail, _, isURL := strings.Cut(strings.Join(strings.Fields(d.Detail), " "), "://")
			text += ": " + strings.TrimSuffix(detail, ".")
			if isURL { // quoted by a function, perhaps with a password and what is wrong with it
				text += "://" + hidden
			}
		}
		pos := Pos{File: p.file}
		if d.Subject != nil {
			pos = p.pos(*d.Subject)
		}
		p.add(pos, "%s%s", context, text)
	}
}

func (p *problems) pos(r hcl.Range) Pos { return Pos{p.file, r.Start.Line, r.Start.Column} }

// err returns nil, or the problems by place, without repetitions, cleaned of secrets.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	for i := range p.list {
		p.list[i].Text = p.secrets.hide(p.list[i].Text)
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Text, b.Text))
	})
	return &Error{slices.Compact(p.list)}
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

package desired

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
)

// Problem is one thing in the sources that cannot be, and where.
type Problem struct {
	Pos     config.Pos
	Text    string // what is wrong, and what to write instead
	Excerpt string // the beginning of the statement, or ""
	Code    string // SQLSTATE when the server said it, or ""
}

func (p Problem) String() string {
	s := p.Text
	if at := p.Pos.String(); at != "" {
		s = at + ": " + s
	}
	if p.Excerpt != "" {
		s += "\n    " + p.Excerpt
	}
	return s
}

// Error is everything that is wrong with the sources. Nothing was changed anywhere.
type Error struct{ Problems []Problem }

// Error puts each problem on lines of its own.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong, so that one run tells everything.
type problems []Problem

func (p *problems) add(pos config.Pos, format string, args ...any) {
	*p = append(*p, Problem{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// err returns nil, or all problems in the order of files and lines, without repetitions.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return &Error{slices.Compact(p)}
}

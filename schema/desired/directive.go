package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// directive says of a declared object what neither SQL nor Atlas can: that it is another one under a new name, or how the values
// of a column become ones of its new type. In SQL it is a comment, in HCL an attribute:
//
//	-- pgtender: renamed from old_name
//	-- pgtender: using expression
//
// A comment stands on lines before what it is said of, or behind it on the same line: a statement, or in CREATE TABLE and CREATE
// TYPE one column, constraint or label.
type directive struct {
	pos     config.Pos
	subject subject
	from    string // renamed from
	using   string
}

// subject is what a directive is said of, as far as the text tells; the schema may be unknown.
type subject struct {
	kinds               []catalog.Kind
	schema, table, name string
	label               string // of an enum
}

func (s subject) String() string {
	parts := slices.DeleteFunc([]string{s.schema, s.table, s.name}, func(p string) bool { return p == "" })
	out := string(s.kinds[0]) + " " + strings.Join(parts, ".")
	if s.label != "" {
		out = "label '" + s.label + "' of " + out
	}
	return out
}

func (s subject) fits(k catalog.Key) bool {
	return slices.Contains(s.kinds, k.Kind) && (s.schema == "" || s.schema == k.Schema) && (s.table == "" || s.table == k.Table) && s.name == catalog.BareName(k)
}

// find is the one declared object that the directive can mean.
func (s subject) find(snap *catalog.Snapshot) (*catalog.Object, error) {
	var found *catalog.Object
	for i := range snap.Objects {
		if o := &snap.Objects[i]; s.fits(o.Key) {
			if found != nil {
				return nil, fmt.Errorf("it could be said of %s or of %s: write the schema's name before the object's; of overloaded routines none can be renamed this way", found.Key, o.Key)
			}
			found = o
		}
	}
	if found == nil {
		return nil, fmt.Errorf("the sources declare no %s, or it is left alone", s)
	}
	return found, nil
}

const directivePrefix = "pgtender:"

// note is a comment that may be a directive.
type note struct {
	start, end int
	text       string // behind the prefix
}

// asNote reads a comment, given with its dashes.
func asNote(start int, comment string) (note, bool) {
	text, ok := strings.CutPrefix(strings.TrimLeft(comment, "-/* \t"), directivePrefix)
	return note{start, start + len(comment), strings.TrimSpace(text)}, ok
}

// directives reads those of a piece.
func (f *file) directives(p piece, wrong *problems) []directive {
	var out []directive
	for _, n := range p.notes {
		d, err := parseDirective(n.text)
		d.pos = f.pos(n.start)
		if err == nil {
			d.subject, err = f.subject(p, n)
		}
		if err == nil {
			err = d.suits()
		}
		if err != nil {
			wrong.add(d.pos, "%s %s: %v", directivePrefix, n.text, err)
			continue
		}
		out = append(out, d)
	}
	return out
}

const directiveForms = "a directive is -- pgtender: renamed from old_name, or -- pgtender: using expression"

func parseDirective(s string) (d directive, err error) {
	pieces, lexErr := split(s)
	if lexErr != nil {
		return d, lexErr
	}
	if len(pieces) != 1 {
		return d, fmt.Errorf("it is not understood; %s", directiveForms)
	}
	t := pieces[0].tokens
	switch {
	case startsWith(t, "RENAMED", "FROM"):
		if len(t) > 3 && t[3].text == "." {
			return d, fmt.Errorf("an object is renamed within its schema: write its old name without one")
		}
		if len(t) != 3 || t[2].kind != text && name(t[2]) == "" {
			return d, fmt.Errorf("one old name is expected, in double quotes if it needs them; of an enum's label, in single ones")
		}
		d.from = name(t[2])
		if t[2].kind == text {
			d.from = literal(t[2].text)
		}
		return d, nil
	case startsWith(t, "USING") && len(t) > 1:
		d.using = strings.TrimRight(s[t[1].start:], "; ")
		return d, nil
	}
	return d, fmt.Errorf("it is not understood; %s", directiveForms)
}

// suits reports what the directive cannot be said of.
func (d directive) suits() error {
	kind := d.subject.kinds[0]
	switch {
	case d.using != "" && kind != catalog.Column:
		return fmt.Errorf("it says how a column's values are converted, and stands at %s", d.subject)
	case d.from != "" && (kind == catalog.Schema || kind == catalog.Extension):
		return fmt.Errorf("a %s cannot be renamed this way", kind)
	case d.from != "" && d.from == d.newName():
		return fmt.Errorf("the old name is the new one")
	}
	return nil
}

func (d directive) newName() string {
	if d.subject.label != "" {
		return d.subject.label
	}
	return d.subject.name
}

// literal is the value of a plain string constant.
func literal(s string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(s, "'"), "'"), "''", "'")
}

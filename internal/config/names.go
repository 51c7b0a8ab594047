package config

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
)

// ParseTable reads a table's name as labels, `into` and --table give it: `name` or `schema.name`, as
// it stands in the catalog (never folded to lower case). A part that holds a dot or a quote is written
// in double quotes, doubled inside: `"odd.name"`. Without a schema it is in schema.
func ParseTable(text, schema string) (Table, error) {
	parts, err := splitName(text)
	if err != nil {
		return Table{}, err
	}
	switch len(parts) {
	case 1:
		return Table{schema, parts[0].text}, nil
	case 2:
		return Table{parts[0].text, parts[1].text}, nil
	}
	return Table{}, fmt.Errorf(`has %d parts: write name or schema.name, and a name with a dot in double quotes`, len(parts))
}

// Named reports whether text, as it is given to --table, means this table: its name with or without the schema, as it is or quoted as ParseTable
// reads it.
func (t Table) Named(text string) bool {
	if text == t.Name || text == t.String() {
		return true
	}
	got, err := ParseTable(text, t.Schema)
	return err == nil && got == t
}

// Arg writes the table as one word for a shell, as --table takes it.
func (t Table) Arg() string {
	quoted := func(name string) string {
		if strings.ContainsAny(name, `."`) || strings.TrimSpace(name) != name {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		return name
	}
	return pg.Word(quoted(t.Schema) + "." + quoted(t.Name))
}

// checkName says what is wrong with a name that is taken as it is, dots and quotes included.
func checkName(name string) error {
	_, err := splitName(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
	return err
}

// namePart is one part of a dotted name; quoted parts are taken literally.
type namePart struct {
	text   string
	quoted bool
}

func splitName(text string) ([]namePart, error) {
	var parts []namePart
	for rest := text; ; {
		part, left, err := cutPart(rest)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if left == "" {
			return parts, nil
		}
		if left[0] != '.' {
			return nil, errors.New(`has text after a closing quote: only a dot may follow it`)
		}
		rest = left[1:]
	}
}

// cutPart takes the first part off a dotted name; left is empty or starts behind that part.
func cutPart(text string) (part namePart, left string, err error) {
	if strings.HasPrefix(text, `"`) {
		part.quoted = true
		part.text, left, err = cutQuoted(text[1:])
	} else if n := strings.IndexAny(text, `."`); n >= 0 {
		part.text, left = text[:n], text[n:]
	} else {
		part.text = text
	}
	switch {
	case err != nil:
		return part, "", err
	case part.text == "":
		return part, "", errors.New("has an empty name")
	case strings.HasPrefix(left, `"`):
		return part, "", errors.New(`has a double quote in the middle of a name: quote the whole part and double the quote in it`)
	case len(part.text) > pg.MaxNameBytes:
		return part, "", fmt.Errorf("has a name of %d bytes: PostgreSQL keeps %d", len(part.text), pg.MaxNameBytes)
	case strings.ContainsRune(part.text, 0):
		return part, "", errors.New("has a zero byte in a name")
	case !part.quoted && strings.TrimSpace(part.text) != part.text:
		return part, "", errors.New("has a space at the edge of a name: put the name in double quotes if that is meant")
	}
	return part, left, nil
}

func cutQuoted(text string) (name, left string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), text[i+1:], nil
	}
	return "", "", errors.New("has a quote that is not closed")
}

// Pattern is one entry of exclude: "schema.object" or "schema", where *, ? and [a-z] stand for parts of
// a name as in the atlas CLI, and a part in double quotes is taken literally.
type Pattern struct {
	Text string
	Pos  Pos
}

// Match reports whether the pattern leaves the object alone. A pattern of one part, and one whose second
// part is *, takes everything in the schema. An invalid pattern, which Load refuses, matches nothing.
func (p Pattern) Match(schema, object string) bool {
	globs, err := parsePattern(p.Text)
	if err != nil || !globMatch(globs[0], schema) {
		return false
	}
	return len(globs) == 1 || globMatch(globs[1], object)
}

// MatchSchema reports whether everything in the schema is left alone.
func (p Pattern) MatchSchema(schema string) bool {
	globs, err := parsePattern(p.Text)
	return err == nil && globMatch(globs[0], schema) && (len(globs) == 1 || globs[1] == "*")
}

// parsePattern returns one glob for each part, in the syntax of path.Match.
func parsePattern(text string) ([]string, error) {
	parts, err := splitName(text)
	if err != nil {
		return nil, err
	}
	if len(parts) > 2 {
		return nil, fmt.Errorf("has %d parts: only whole objects can be left alone, as schema.object or schema", len(parts))
	}
	globs := make([]string, len(parts))
	for i, part := range parts {
		if !part.quoted && strings.Contains(part.text, "[type=") {
			return nil, errors.New("selects by type, which is not supported yet: name the objects")
		}
		globs[i] = part.text
		if part.quoted {
			globs[i] = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(part.text)
		}
		if _, err := path.Match(globs[i], ""); err != nil {
			return nil, errors.New(`has a "[" or "\" that is not complete: write [a-z], or put the name in double quotes`)
		}
	}
	return globs, nil
}

// globMatch is path.Match on a name, in which a slash is a character like any other.
func globMatch(glob, name string) bool {
	plain := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(plain.Replace(glob), plain.Replace(name))
	return err == nil && ok
}

// reservedSchema says why no policy and no declaration may touch a schema; empty: they may.
func reservedSchema(name string) string {
	switch {
	case name == "pgtender":
		return "it holds pgtender's own ledger"
	case name == "information_schema" || strings.HasPrefix(name, "pg_"):
		return "it belongs to PostgreSQL"
	}
	return ""
}

package desired

import (
	"strings"
	"unicode/utf8"

	"github.com/pgtender/pgtender/internal/config"
)

// statement is one step of loading the sources, whatever language it was written in.
type statement struct {
	sql string
	pos config.Pos // where the declaration begins
	// locate turns the server's error position (in characters, from 1; 0 when it has none) and the name
	// of the column or constraint it blames into a place in the sources.
	locate   func(position int, part string) config.Pos
	settings []string // SETs of the same file before it, as SET LOCAL
	// checked is the statement that declares a routine again with its body checked, or "". It has as many characters
	// before the body as sql has, plus added.
	checked   string
	added     int
	extension string // CREATE EXTENSION of this name
	version   string // the extension whose version the statement says
	schema    string // CREATE SCHEMA of this name
	// directives are what comments say of it or of its parts.
	directives []directive
	grants     bool // GRANT or REVOKE
	defaults   bool // ALTER DEFAULT PRIVILEGES
}

// The ranks of statements, in the order in which they are loaded.
const (
	rankSchema = iota
	rankExtension
	rankObject
	rankGrant             // once everything is there: ON ALL TABLES means all
	rankDefaultPrivileges // last, since they would change what objects are made with
)

func (s *statement) rank() int {
	switch {
	case s.defaults:
		return rankDefaultPrivileges
	case s.grants:
		return rankGrant
	case s.schema != "":
		return rankSchema
	case s.extension != "":
		return rankExtension
	}
	return rankObject
}

// excerpt is the beginning of the statement for a message.
func (s *statement) excerpt() string {
	one := strings.Join(strings.Fields(s.sql), " ")
	if utf8.RuneCountInString(one) > 120 {
		one = string([]rune(one)[:117]) + "..."
	}
	return one
}

// statements reads a SQL file.
func (f *file) statements(wrong *problems) []*statement {
	pieces, lexErr := split(f.text)
	var out []*statement
	var settings []string
	for _, p := range pieces {
		v := classify(f, p)
		if len(p.notes) > 0 && (v.refusal != "" || v.setting != "" || v.skip) {
			wrong.add(f.pos(p.notes[0].start), "the directive stands at a statement that creates nothing")
		}
		switch {
		case v.refusal != "":
			*wrong = append(*wrong, Problem{Pos: f.pos(p.start), Text: v.refusal})
		case v.setting != "":
			settings = append(settings[:len(settings):len(settings)], v.setting)
		case !v.skip:
			out = append(out, f.statement(p, settings, wrong))
		}
	}
	if lexErr != nil {
		wrong.add(f.pos(lexErr.offset), "%s", lexErr.what)
	}
	return out
}

func (f *file) statement(p piece, settings []string, wrong *problems) *statement {
	s := &statement{sql: strings.TrimRight(f.text[p.start:p.end], " \t\r\n\f\v"), pos: f.pos(p.start), settings: settings}
	s.locate = func(position int, _ string) config.Pos {
		if position <= 0 {
			return s.pos
		}
		offset, chars := 0, 1
		for chars < position && offset < len(s.sql) {
			_, size := utf8.DecodeRuneInString(s.sql[offset:])
			offset, chars = offset+size, chars+1
		}
		return f.pos(p.start + offset)
	}
	s.adapt(p)
	s.directives = f.directives(p, wrong)
	return s
}

// adapt makes a second declaration of the same object an error in place of something that the server passes over
// (IF NOT EXISTS) or that replaces the first one (OR REPLACE), and prepares a routine for the check of its body.
func (s *statement) adapt(p piece) {
	t := p.tokens
	blank := func(from, to int) {
		a, b := t[from].start-p.start, t[to].end-p.start
		s.sql = s.sql[:a] + strings.Repeat(" ", b-a) + s.sql[b:]
	}
	kind, at := created(t)
	s.grants = startsWith(t, "GRANT") || startsWith(t, "REVOKE")
	s.defaults = startsWith(t, "ALTER", "DEFAULT", "PRIVILEGES")
	if startsWith(t, "ALTER", "EXTENSION") && has(t, "UPDATE", "TO") {
		s.version = nameAfter(t, 2)
	}
	switch kind {
	case "SCHEMA":
		s.schema = nameAfter(t, at, "IF", "NOT", "EXISTS")
	case "EXTENSION":
		s.extension = nameAfter(t, at, "IF", "NOT", "EXISTS")
		if has(t, "VERSION") {
			s.version = s.extension
		}
	case "FUNCTION", "PROCEDURE":
		if startsWith(t[1:], "OR", "REPLACE") {
			s.checked = s.sql
			blank(1, 2)
			break
		}
		insert := " OR REPLACE"
		s.checked, s.added = s.sql[:t[0].end-p.start]+insert+s.sql[t[0].end-p.start:], len(insert)
	case "TABLE", "INDEX", "SEQUENCE", "MATERIALIZED VIEW", "STATISTICS":
		if startsWith(t[at:], "IF", "NOT", "EXISTS") {
			blank(at, at+2)
		}
	}
}

// created is the kind of object that a CREATE statement makes and the index of the token after it.
func created(t []token) (kind string, next int) {
	if !startsWith(t, "CREATE") {
		return "", 0
	}
	i := 1
	for i < len(t) && t[i].kind == word {
		switch t[i].text {
		case "OR", "REPLACE", "UNLOGGED", "UNIQUE", "RECURSIVE", "CONSTRAINT", "TRUSTED", "PROCEDURAL", "DEFAULT":
			i++
		case "MATERIALIZED", "FOREIGN", "EVENT", "TEXT", "ACCESS", "USER", "OPERATOR":
			if i+1 < len(t) && t[i+1].kind == word {
				return t[i].text + " " + t[i+1].text, i + 2
			}
			return t[i].text, i + 1
		default:
			return t[i].text, i + 1
		}
	}
	return "", i
}

// nameAfter is the name at the index, behind the words if they stand there; folded as the server folds it.
func nameAfter(t []token, at int, words ...string) string {
	if at < len(t) && startsWith(t[at:], words...) {
		at += len(words)
	}
	if at < len(t) && startsWith(t[at:], "AUTHORIZATION") { // CREATE SCHEMA AUTHORIZATION role
		at++
	}
	if at >= len(t) {
		return ""
	}
	return name(t[at])
}

func name(t token) string {
	switch t.kind {
	case word:
		return strings.ToLower(t.text)
	case quotedName:
		if strings.HasPrefix(t.text, `"`) {
			return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`)
		}
	}
	return ""
}

package desired

import (
	"errors"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// createdKinds are the kinds that a word after CREATE may make.
func createdKinds(kind string) []catalog.Kind {
	return map[string][]catalog.Kind{
		"TABLE": {catalog.Table, catalog.Partition}, "VIEW": {catalog.View}, "MATERIALIZED VIEW": {catalog.MatView}, "INDEX": {catalog.Index},
		"SEQUENCE": {catalog.Sequence}, "TYPE": {catalog.Enum, catalog.Composite, catalog.Range}, "COLLATION": {catalog.Collation},
		"AGGREGATE": {catalog.Aggregate}, "EVENT TRIGGER": {catalog.EventTrigger}, "DOMAIN": {catalog.Domain},
		"FUNCTION": {catalog.Function}, "PROCEDURE": {catalog.Procedure}, "TRIGGER": {catalog.Trigger}, "POLICY": {catalog.Policy},
		"RULE": {catalog.Rule}, "STATISTICS": {catalog.Statistics}, "SCHEMA": {catalog.Schema}, "EXTENSION": {catalog.Extension},
	}[kind]
}

// subject finds what a comment is said of.
func (f *file) subject(p piece, n note) (subject, error) {
	t := p.tokens
	if p.meta != "" || len(t) == 0 {
		return subject{}, errors.New("no declaration follows it")
	}
	whole, at, err := wholeSubject(t)
	if err != nil {
		return subject{}, err
	}
	if n.start < t[0].start || n.start >= t[len(t)-1].end {
		return whole, nil
	}
	kind := whole.kinds[0]
	if kind != catalog.Table && kind != catalog.Enum {
		return whole, nil
	}
	item, err := f.itemAt(t, at, n)
	if item == nil || err != nil {
		return whole, err
	}
	return partSubject(whole, item)
}

// wholeSubject is what the statement declares, and the index of the token behind its name.
func wholeSubject(t []token) (s subject, next int, err error) {
	if startsWith(t, "ALTER", "TABLE") {
		return alteredPart(t)
	}
	kind, at := created(t)
	s.kinds = createdKinds(kind)
	if s.kinds == nil {
		return s, 0, errors.New("it must stand at a statement that creates something which can be renamed")
	}
	for _, words := range [][]string{{"CONCURRENTLY"}, {"IF", "NOT", "EXISTS"}} {
		if startsWith(t[at:], words...) {
			at += len(words)
		}
	}
	s.schema, s.name, next = qualifiedName(t, at)
	if s.name == "" || kind == "INDEX" && startsWith(t[at:], "ON") {
		return s, 0, errors.New("the statement gives no name to what it creates: give it one")
	}
	switch s.kinds[0] {
	case catalog.Trigger, catalog.Policy:
		s.schema, s.table, _ = nameBehind(t, next, "ON")
	case catalog.Rule:
		s.schema, s.table, _ = nameBehind(t, next, "TO")
	}
	return s, next, nil
}

// alteredPart reads ALTER TABLE [IF EXISTS] [ONLY] name ADD [COLUMN | CONSTRAINT] part.
func alteredPart(t []token) (s subject, next int, err error) {
	at := 2
	for _, words := range [][]string{{"IF", "EXISTS"}, {"ONLY"}} {
		if startsWith(t[at:], words...) {
			at += len(words)
		}
	}
	s.schema, s.table, at = qualifiedName(t, at)
	s.kinds = []catalog.Kind{catalog.Column}
	switch {
	case startsWith(t[at:], "ADD", "CONSTRAINT"):
		s.kinds, at = []catalog.Kind{catalog.Constraint}, at+2
	case startsWith(t[at:], "ADD", "COLUMN"):
		at += 2
	default:
		return s, 0, errors.New("in ALTER TABLE it can stand at ADD COLUMN or ADD CONSTRAINT")
	}
	if startsWith(t[at:], "IF", "NOT", "EXISTS") {
		at += 3
	}
	_, s.name, next = qualifiedName(t, at)
	if s.name == "" {
		return s, 0, errors.New("the statement gives no name to what it adds")
	}
	return s, next, nil
}

// qualifiedName reads name or schema.name; next is the index behind it.
func qualifiedName(t []token, at int) (schema, object string, next int) {
	if at >= len(t) {
		return "", "", at
	}
	object, next = name(t[at]), at+1
	if next+1 < len(t) && t[next].text == "." {
		schema, object, next = object, name(t[next+1]), next+2
	}
	return schema, object, next
}

// nameBehind is the name behind the first such word outside parentheses.
func nameBehind(t []token, at int, word string) (schema, object string, next int) {
	for ; at < len(t); at++ {
		if startsWith(t[at:], word) {
			at++
			if startsWith(t[at:], "ONLY") {
				at++
			}
			return qualifiedName(t, at)
		}
	}
	return "", "", at
}

// itemAt is the element of the statement's list, in parentheses, that a comment is said of: the one before it on the same line, or
// else the one that follows. Nil: it stands before or behind the list.
func (f *file) itemAt(t []token, at int, n note) ([]token, error) {
	for at < len(t) && t[at].text != "(" {
		at++
	}
	next := slices.IndexFunc(t, func(x token) bool { return x.start >= n.end })
	anchor := next
	if before := next - 1; before >= 0 && !strings.Contains(f.text[t[before].end:n.start], "\n") {
		if anchor = before; t[anchor].text == "," {
			anchor--
		}
	}
	list, end := items(t, at)
	for _, item := range list {
		if item[0].start <= t[anchor].start && t[anchor].start < item[len(item)-1].end {
			return item, nil
		}
	}
	if anchor == next && t[anchor].start == end {
		return nil, errors.New("nothing follows it in the list")
	}
	return nil, nil
}

// items are the elements of the list that opens at the token, and the offset of its closing parenthesis.
func items(t []token, open int) (out [][]token, end int) {
	depth, start := 0, open+1
	for i := open; i < len(t); i++ {
		switch t[i].text {
		case "(", "[":
			depth++
		case ")", "]":
			depth--
		}
		if depth == 0 || depth == 1 && t[i].text == "," {
			if i > start {
				out = append(out, t[start:i])
			}
			start = i + 1
		}
		if depth == 0 {
			return out, t[i].start
		}
	}
	return out, end
}

// partSubject is the column, constraint or label that an element declares.
func partSubject(whole subject, item []token) (subject, error) {
	if whole.kinds[0] == catalog.Enum {
		if item[0].kind != text {
			return whole, errors.New("it must stand at a label")
		}
		whole.label = literal(item[0].text)
		return whole, nil
	}
	part := subject{kinds: []catalog.Kind{catalog.Column}, schema: whole.schema, table: whole.name}
	switch {
	case startsWith(item, "CONSTRAINT") && len(item) > 1:
		part.kinds, part.name = []catalog.Kind{catalog.Constraint}, name(item[1])
	case startsWith(item, "PRIMARY", "KEY"), startsWith(item, "FOREIGN", "KEY"), startsWith(item, "UNIQUE"), startsWith(item, "CHECK"),
		startsWith(item, "EXCLUDE"), startsWith(item, "LIKE"), startsWith(item, "NOT", "NULL"):
		return whole, errors.New("the constraint has no name: write CONSTRAINT name before it")
	default:
		part.name = name(item[0])
	}
	if part.name == "" {
		return whole, errors.New("it stands at nothing that has a name")
	}
	return part, nil
}

package plan

import (
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// routineReplaces reports whether CREATE OR REPLACE can make one definition of the other: the arguments' names, types
// and the result must be the same, and no default may be lost.
func routineReplaces(live, want string) bool {
	a, okA := scanRoutine(live)
	c, okC := scanRoutine(want)
	if !okA || !okC || a.returns != c.returns || len(a.args) != len(c.args) {
		return false
	}
	for i := range a.args {
		from, hadDefault := cutDefault(a.args[i])
		to, hasDefault := cutDefault(c.args[i])
		if from != to || hadDefault && !hasDefault {
			return false
		}
	}
	return true
}

func cutDefault(arg string) (string, bool) {
	before, _, ok := strings.Cut(arg, " DEFAULT ")
	return before, ok
}

// routine is the head of what pg_get_functiondef prints.
type routine struct {
	args    []string
	returns string
}

func scanRoutine(definition string) (r routine, ok bool) {
	open := strings.IndexByte(definition, '(')
	if strings.HasPrefix(definition, "CREATE OR REPLACE ") {
		s := definition[len("CREATE OR REPLACE "):]
		_, s, _ = strings.Cut(s, " ")
		if _, rest := scanName(s); strings.HasPrefix(rest, "(") {
			open = len(definition) - len(rest)
		}
	}
	if open < 0 {
		return r, false
	}
	depth, end := 0, -1
scan:
	for i := open; i < len(definition); i++ {
		switch definition[i] {
		case '\'', '"':
			i = closing(definition, i, definition[i] == '\'' && definition[i-1] == 'E')
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				end = i
				break scan
			}
		}
	}
	if end < 0 {
		return r, false
	}
	r.args = splitList(definition[open+1 : end])
	first, _, _ := strings.Cut(strings.TrimLeft(definition[end+1:], "\n "), "\n")
	r.returns, _ = strings.CutPrefix(first, "RETURNS ")
	return r, true
}

// replace changes a function, procedure, trigger or rule in place, and whether it fires.
func (b *builder) replace(k catalog.Key, live, want *catalog.Object) {
	var replaced *step
	if d, ok := b.delta(k, catalog.FactDefinition); ok {
		s := Statement{SQL: strings.TrimRight(strings.TrimSpace(d.Declared), ";"), Reason: describe(d)}
		switch k.Kind {
		case catalog.Trigger:
			s.SQL = "CREATE OR REPLACE TRIGGER" + strings.TrimPrefix(s.SQL, "CREATE TRIGGER")
			s.Lock = on(shareRowExclusive, tableWords(k))
		case catalog.Rule:
			s.SQL = "CREATE OR REPLACE RULE" + strings.TrimPrefix(s.SQL, "CREATE RULE")
			s.Lock = on(accessExclusive, tableWords(k))
		}
		replaced = b.add(alters, k, s)
		b.cover(k, catalog.FactDefinition)
	}
	if k.Kind != catalog.Trigger && k.Kind != catalog.Rule {
		return
	}
	// A trigger or rule that is replaced fires again.
	if b.differsIn(k, catalog.FactEnabled) || replaced != nil && want.Fact(catalog.FactEnabled) != "" {
		s := b.setEnabled(k, want)
		if replaced != nil {
			s.needs(replaced)
		}
	}
}

// triggerReplaces: OR REPLACE is for plain triggers; constraint triggers are dropped and made again.
func (b *builder) triggerReplaces(k catalog.Key, live, want *catalog.Object) bool {
	plain := func(o *catalog.Object) bool {
		return strings.HasPrefix(o.Fact(catalog.FactDefinition), "CREATE TRIGGER ")
	}
	return plain(live) && plain(want)
}

// setEnabled sets when a trigger or rule fires.
func (b *builder) setEnabled(k catalog.Key, want *catalog.Object) *step {
	word := map[string]string{"": "ENABLE", "disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}[want.Fact(catalog.FactEnabled)]
	what, lock := " TRIGGER ", shareRowExclusive
	if k.Kind == catalog.Rule {
		what, lock = " RULE ", accessExclusive
	}
	s := Statement{SQL: "ALTER TABLE " + table(k) + " " + word + what + pg.Ident(k.Name), Reason: "declared as " + orDefault(want.Fact(catalog.FactEnabled), "enabled")}
	if d, ok := b.delta(k, catalog.FactEnabled); ok {
		s.Reason = "it is " + orDefault(d.Live, "enabled") + " in the database, and declared as " + orDefault(d.Declared, "enabled")
	}
	if k.Kind == catalog.EventTrigger {
		s.SQL = "ALTER EVENT TRIGGER " + name(k) + " " + word
	} else if b.ownerFate(b.want, k) != create {
		s.Lock = on(lock, tableWords(k))
	}
	b.cover(k, catalog.FactEnabled)
	return b.add(alters, k, s)
}

func (b *builder) alterStatistics(k catalog.Key, want *catalog.Object) {
	if d, ok := b.delta(k, catalog.FactStatTarget); ok {
		b.add(alters, k, Statement{SQL: "ALTER STATISTICS " + name(k) + " SET STATISTICS " + orDefault(d.Declared, "DEFAULT"),
			Reason: describe(d), Lock: on(shareUpdateExclusive, "its table")})
		b.cover(k, d.Name)
	}
}

package plan

import (
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// createView makes a view or materialised view by the server's own definition.
func (b *builder) createView(k catalog.Key, want *catalog.Object, definition string) {
	s := Statement{Reason: b.whyMake(k), SQL: "CREATE VIEW " + name(k) + viewOptions(want) + " AS\n" + definition}
	if k.Kind == catalog.MatView {
		s.SQL = "CREATE MATERIALIZED VIEW " + name(k)
		if am := want.Fact(catalog.FactAccessMethod); am != "" {
			s.SQL += " USING " + am
		}
		s.SQL += viewOptions(want)
		if ts := want.Fact(catalog.FactTablespace); ts != "" {
			s.SQL += " TABLESPACE " + ts
		}
		s.SQL += " AS\n" + definition
	}
	mode := together
	if k.Kind == catalog.MatView {
		mode = b.populate(k, want, &s)
	}
	made := b.add(makes, k, s)
	made.mode = mode
	tie(append([]*step{made}, b.actions(k).gone...)...)
	b.cover(k)
	b.restore(k, made)
	b.viewColumns(k, nil, want)
	for _, s := range b.actions(k).alter {
		s.needs(made)
	}
	if x := want.Fact(catalog.FactDependsOn); x != "" {
		for _, s := range b.dependsOn(k, "", x) {
			s.needs(made)
		}
	}
	b.comment(k)
}

func viewOptions(want *catalog.Object) string {
	if options := optionList(want.Fact(catalog.FactOptions)); options != "" {
		return " WITH (" + options + ")"
	}
	return ""
}

// populate decides whether a materialised view is filled as it is made. A new one over tables that hold rows is
// filled in a transaction of its own, so that its query holds no other step's locks; one that is made anew is filled
// in the same transaction as its predecessor goes, if that was filled, so that readers never meet an empty one.
func (b *builder) populate(k catalog.Key, want *catalog.Object, s *Statement) mode {
	live := b.liveObject(k)
	switch {
	case live != nil && !live.Notes.Populated:
		s.SQL += "\nWITH NO DATA"
		s.Reason += "; it was never filled, and is not now"
		return together
	case live != nil:
		s.Reason += "; it is filled again at once, since it was before"
		s.Hazards = append(s.Hazards, Hazard{LongLock, "readers of " + k.String() + " wait while its query runs (" + size(live) + ")"})
		return together
	case !want.Notes.Populated:
		s.SQL += "\nWITH NO DATA"
		return together
	case b.readsOld(want, map[catalog.Key]bool{}):
		s.Reason += "; filled at once"
		return alone
	}
	return together
}

// readsOld reports whether an object depends on a table that was there before, through whatever.
func (b *builder) readsOld(o *catalog.Object, seen map[catalog.Key]bool) bool {
	for _, n := range o.Needs {
		if seen[n] {
			continue
		}
		seen[n] = true
		if (n.Kind == catalog.Table || n.Kind == catalog.MatView) && b.liveObject(n) != nil {
			return true
		}
		if next := b.wantObject(n); next != nil && b.readsOld(next, seen) {
			return true
		}
	}
	return false
}

// alterView replaces the definition in place when only columns are appended, and changes options.
func (b *builder) alterView(k catalog.Key, live, want *catalog.Object) {
	word := map[catalog.Kind]string{catalog.View: "ALTER VIEW ", catalog.MatView: "ALTER MATERIALIZED VIEW "}[k.Kind]
	lock := on(accessExclusive, k.String())
	if d, ok := b.delta(k, catalog.FactDefinition); ok {
		s := b.add(alters, k, Statement{SQL: "CREATE OR REPLACE VIEW " + name(k) + viewOptions(want) + " AS\n" + strings.TrimRight(strings.TrimSpace(d.Declared), ";"),
			Reason: b.describeAll(k, catalog.FactDefinition, catalog.FactOptions), Lock: lock,
			Hazards: viewOptionHazards(k, splitOptions(live.Fact(catalog.FactOptions)), splitOptions(want.Fact(catalog.FactOptions)))})
		s.rank.part = -1 // before its columns' properties
		b.cover(k, catalog.FactDefinition, catalog.FactOptions)
	} else if d, ok := b.delta(k, catalog.FactOptions); ok {
		b.options(k, word, d)
	}
	if d, ok := b.delta(k, catalog.FactAccessMethod); ok {
		b.add(alters, k, Statement{SQL: word + name(k) + " SET ACCESS METHOD " + orDefault(d.Declared, "heap"), Reason: describe(d), Lock: lock,
			Hazards: []Hazard{{Rewrite, k.String() + " is written again whole under ACCESS EXCLUSIVE (" + size(live) + ")"}}})
		b.cover(k, d.Name)
	}
	if d, ok := b.delta(k, catalog.FactTablespace); ok {
		b.add(alters, k, Statement{SQL: word + name(k) + " SET TABLESPACE " + orDefault(d.Declared, "pg_default"), Reason: describe(d), Lock: lock,
			Hazards: []Hazard{{Rewrite, k.String() + " is copied whole under ACCESS EXCLUSIVE (" + size(live) + ")"}}})
		b.cover(k, d.Name)
	}
	b.viewColumns(k, live, want)
}

// viewColumns sets comments, defaults and storage properties of a view's columns; live is nil for a new view.
func (b *builder) viewColumns(k catalog.Key, live, want *catalog.Object) {
	from := func(fact string) string {
		if live == nil {
			return ""
		}
		return live.Fact(fact)
	}
	file := func(fact, sql, lock string) {
		s := Statement{SQL: sql, Reason: "the declared " + strings.TrimSuffix(fact, " ")}
		if live != nil {
			s.Reason, s.Lock = b.describeAll(k, fact), on(lock, k.String())
		}
		b.add(alters, k, s)
		b.cover(k, fact)
	}
	for _, column := range prefixed(live, want, catalog.PrefixColumn) {
		fact := catalog.PrefixColumn + column
		if from(fact) == want.Fact(fact) {
			continue
		}
		var actions []string
		for _, a := range columnActions(from(fact), want.Fact(fact)) {
			actions = append(actions, "ALTER COLUMN "+pg.Ident(column)+" "+a)
		}
		file(fact, "ALTER TABLE "+name(k)+" "+strings.Join(actions, ", "), accessExclusive)
	}
	for _, column := range prefixed(live, want, catalog.PrefixColumnComment) {
		fact := catalog.PrefixColumnComment + column
		if from(fact) != want.Fact(fact) {
			file(fact, "COMMENT ON COLUMN "+pg.Ident(k.Schema, k.Name, column)+" IS "+commentText(want.Fact(fact)), shareUpdateExclusive)
		}
	}
}

// columnActions turns "SET DEFAULT x, SET STATISTICS 5" into the other list of the kind.
func columnActions(live, want string) []string {
	split := func(s string) map[string]string {
		out := map[string]string{}
		for _, a := range splitList(s) {
			word := "SET ("
			for _, w := range []string{"SET DEFAULT ", "SET STORAGE ", "SET COMPRESSION ", "SET STATISTICS "} {
				if strings.HasPrefix(a, w) {
					word = w
				}
			}
			out[word] = a
		}
		return out
	}
	old, declared := split(live), split(want)
	var out []string
	for _, w := range []string{"SET DEFAULT ", "SET STORAGE ", "SET COMPRESSION ", "SET STATISTICS ", "SET ("} {
		switch {
		case old[w] == declared[w]:
		case w == "SET (":
			was, is := splitOptions(strings.Trim(strings.TrimPrefix(old[w], "SET "), "()")), splitOptions(strings.Trim(strings.TrimPrefix(declared[w], "SET "), "()"))
			if reset := without(optionNames(was), optionNames(is)); len(reset) > 0 {
				out = append(out, "RESET ("+strings.Join(reset, ", ")+")")
			}
			if len(is) > 0 {
				out = append(out, declared[w])
			}
		case declared[w] != "":
			out = append(out, declared[w])
		case w == "SET DEFAULT ":
			out = append(out, "DROP DEFAULT")
		default:
			out = append(out, w+"DEFAULT")
		}
	}
	return out
}

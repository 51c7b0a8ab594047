package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// attribute is one of a composite type's.
type attribute struct{ name, typ string }

func attributes(o *catalog.Object) []attribute {
	var out []attribute
	for _, s := range splitList(o.Fact(catalog.FactAttributes)) {
		name, rest := scanIdent(s)
		out = append(out, attribute{name, strings.TrimSpace(rest)})
	}
	return out
}

// compositeAlters: attributes can go anywhere and come at the end; their types can change while no column has the type.
func (b *builder) compositeAlters(k catalog.Key, live, want *catalog.Object) bool {
	old, declared := attributes(live), attributes(want)
	has := func(list []attribute, name string) bool {
		return slices.ContainsFunc(list, func(a attribute) bool { return a.name == name })
	}
	kept := slices.DeleteFunc(old, func(a attribute) bool { return !has(declared, a.name) })
	if len(kept) == 0 || len(kept) > len(declared) {
		return false
	}
	used := slices.ContainsFunc(b.dependents[k], func(d catalog.Key) bool { return d.Kind == catalog.Column })
	for i, a := range kept {
		if declared[i].name != a.name || used && declared[i].typ != a.typ {
			return false
		}
	}
	return true
}

func (b *builder) alterComposite(k catalog.Key, live, want *catalog.Object) {
	if d, ok := b.delta(k, catalog.FactAttributes); ok {
		s := Statement{Reason: describe(d), Lock: on(accessExclusive, k.String())}
		types := map[string]string{}
		for _, a := range attributes(live) {
			types[a.name] = a.typ
		}
		var actions []string
		for _, a := range attributes(want) {
			was, there := types[a.name]
			delete(types, a.name)
			switch {
			case !there:
				actions = append(actions, "ADD ATTRIBUTE "+pg.Ident(a.name)+" "+a.typ)
			case was != a.typ:
				actions = append(actions, "ALTER ATTRIBUTE "+pg.Ident(a.name)+" TYPE "+a.typ)
			}
		}
		for _, a := range attributes(live) {
			if _, gone := types[a.name]; gone {
				actions = append(actions, "DROP ATTRIBUTE "+pg.Ident(a.name))
				s.Hazards = append(s.Hazards, Hazard{DataLoss, "what columns of the type hold in " + a.name + " is gone"})
			}
		}
		s.Hazards = append(s.Hazards, Hazard{BreaksCode, "rows that are made or taken apart by position or by such a name fail afterwards"})
		s.SQL = "ALTER TYPE " + name(k) + " " + strings.Join(actions, ", ")
		b.add(alters, k, s)
		b.cover(k, catalog.FactAttributes)
	}
	b.attributeComments(k, live, want)
}

// attributeComments sets the comments of a composite type's attributes; live is nil for a new type.
func (b *builder) attributeComments(k catalog.Key, live, want *catalog.Object) {
	for _, name := range prefixed(live, want, catalog.PrefixColumnComment) {
		fact := catalog.PrefixColumnComment + name
		b.cover(k, fact)
		there := slices.ContainsFunc(attributes(want), func(a attribute) bool { return a.name == name })
		if !there || live != nil && live.Fact(fact) == want.Fact(fact) {
			continue
		}
		s := b.add(alters, k, Statement{SQL: "COMMENT ON COLUMN " + pg.Ident(k.Schema, k.Name, name) + " IS " + commentText(want.Fact(fact)), Reason: "the declared comment"})
		if live != nil {
			s.Lock = on(shareUpdateExclusive, k.String())
		}
		s.final = true
		for _, earlier := range b.steps {
			if earlier.Object == k {
				s.needs(earlier)
			}
		}
	}
}

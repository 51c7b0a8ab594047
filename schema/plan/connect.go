package plan

import (
	"slices"

	"github.com/pgtender/pgtender/schema/catalog"
)

// connect gives every step what it must follow, from the objects' dependencies on both sides.
func (b *builder) connect() {
	for _, k := range b.keys() {
		a := b.at[k]
		if a == nil {
			continue
		}
		b.connectMaking(k, a)
		b.connectRemaking(k, a)
		for _, s := range a.alter {
			if s.disrupts {
				b.freeFirst(k, s)
			}
		}
	}
	for i := range b.live.Objects {
		if k := b.live.Objects[i].Key; b.goes(k) || b.renamedTo[k] != (catalog.Key{}) {
			b.connectGone(k)
		}
	}
	b.connectNames()
	for _, n := range b.lateNeeds {
		if a := b.at[n.on]; a != nil {
			n.step.needs(a.make...)
			n.step.needs(waited(a.alter)...)
		}
	}
	for _, n := range b.afterGone {
		n.step.needs(b.goneSteps(n.on)...)
	}
	for _, n := range b.lateBefore {
		for _, s := range b.goneSteps(n.on) {
			s.needs(n.step)
		}
	}
	b.connectOverloads()
}

// connectMaking: what makes or alters an object follows what makes or alters all that its declared form needs.
func (b *builder) connectMaking(k catalog.Key, a *actions) {
	want := b.wantObject(k)
	if want == nil {
		return
	}
	needs := want.Needs
	if owner := ownerOf(b.want, k); owner != nil {
		needs = append(slices.Clone(needs), owner.Key)
	}
	for _, n := range needs {
		other := b.at[n]
		if other == nil || n == k {
			continue
		}
		for _, s := range slices.Concat(a.make, a.alter) {
			if s.frees {
				continue
			}
			if n == k.Owner() || b.isOwner(n, k) {
				s.needs(other.make...) // not its comments and options
				continue
			}
			if b.detached[k] && k.Kind == catalog.Column && slices.Contains(a.make, s) && !isType(n.Kind) {
				continue // its default waits
			}
			s.needs(other.make...)
			for _, o := range waited(other.alter) {
				if s.Object == k || !o.follows(s, map[*step]bool{}) { // a statement that makes a column and its constraint
					s.needs(o)
				}
			}
		}
	}
}

// waited are the steps that others wait for.
func waited(steps []*step) []*step {
	return slices.DeleteFunc(slices.Clone(steps), func(s *step) bool { return s.final || s.claims })
}

// isOwner reports whether n is the view that k is part of.
func (b *builder) isOwner(n, k catalog.Key) bool {
	return k.Table != "" && n.Schema == k.Schema && n.Name == k.Table && n.Table == ""
}

// connectRemaking: the old goes before the new comes, unless the new is built beside it.
func (b *builder) connectRemaking(k catalog.Key, a *actions) {
	if b.fates[k] != recreate {
		return
	}
	gone := b.goneSteps(k)
	if rename := b.roomFor[k]; rename != nil {
		for _, s := range a.make {
			s.needs(rename)
		}
		for _, s := range gone {
			s.needs(a.make...)
		}
		tie(slices.Concat([]*step{rename}, a.make, gone)...)
		return
	}
	if b.online[k] {
		return
	}
	for _, s := range a.make {
		s.needs(gone...)
	}
	tie(slices.Concat(a.make, gone)...)
}

// connectGone: before an object goes, its dependents go or are altered so that they need it no more.
func (b *builder) connectGone(k catalog.Key) {
	gone := b.goneSteps(k)
	for _, d := range b.dependents[k] {
		want := b.wantObject(d)
		a := b.at[d]
		for _, s := range gone {
			switch {
			case b.unset[d] != nil && k.Kind != catalog.Column:
				s.needs(b.unset[d])
			case b.goes(d):
				s.needs(b.goneSteps(d)...)
			case a != nil && (want == nil || !slices.Contains(want.Needs, k)):
				s.needs(slices.DeleteFunc(slices.Clone(a.alter), func(s *step) bool { return s.claims })...)
				s.needs(a.make...)
			}
		}
		if d.Kind == catalog.Constraint && b.fates[d] == recreate && a != nil && !b.online[d] {
			for _, s := range a.make { // or a foreign key would hang on to the key that is about to go
				s.needs(gone...)
			}
		}
	}
}

// freeFirst: a change of type follows the going of whatever depends on the column.
func (b *builder) freeFirst(k catalog.Key, s *step) {
	for _, d := range b.dependents[k] {
		if b.goes(d) && b.roomFor[d] == nil && !b.online[d] {
			s.needs(b.goneSteps(d)...)
		}
	}
}

// nameSpace is equal for objects of which only one can have a name in a schema; empty for others.
func nameSpaces(o *catalog.Object) []string {
	relation, typ := "relation "+o.Key.Schema+"."+o.Key.Name, "type "+o.Key.Schema+"."+o.Key.Name
	switch o.Key.Kind {
	case catalog.Table, catalog.Partition, catalog.View, catalog.MatView, catalog.Sequence:
		return []string{relation, typ}
	case catalog.Index:
		return []string{relation}
	case catalog.Composite:
		return []string{relation, typ}
	case catalog.Enum, catalog.Domain, catalog.Range:
		return []string{typ}
	case catalog.Constraint:
		if t := o.Fact(catalog.FactConstraintType); t == "p" || t == "u" || t == "x" {
			return []string{relation, "constraint " + o.Key.Schema + "." + o.Key.Table + "." + o.Key.Name}
		}
		return []string{"constraint " + o.Key.Schema + "." + o.Key.Table + "." + o.Key.Name}
	case catalog.Function, catalog.Procedure, catalog.Aggregate:
		return []string{"routine " + o.Key.Schema + "." + o.Key.Name}
	case catalog.Column:
		if o.Fact(catalog.FactIdentity) != "" && o.Fact(catalog.FactSequenceName) == "" {
			return []string{"relation " + o.Key.Schema + "." + catalog.DefaultName(o.Key.Table, o.Key.Name, "seq")}
		}
	}
	return nil
}

// connectNames: a name is free before it is taken again by an object of another kind.
func (b *builder) connectNames() {
	held := map[string][]catalog.Key{}
	for i := range b.live.Objects {
		o := &b.live.Objects[i]
		if !b.goes(o.Key) && b.renamedTo[o.Key] == (catalog.Key{}) && b.freeing(o.Key) == nil {
			continue
		}
		for _, n := range nameSpaces(o) {
			held[n] = append(held[n], o.Key)
		}
	}
	for i := range b.want.Objects {
		o := &b.want.Objects[i]
		a := b.at[o.Key]
		if a == nil {
			continue
		}
		for _, n := range nameSpaces(o) {
			for _, old := range held[n] {
				if old == o.Key {
					continue
				}
				freed := append(slices.Clone(b.goneSteps(old)), b.freeing(old)...)
				if to, ok := b.renamedTo[old]; ok {
					freed = b.at[to].make
				}
				for _, s := range slices.Concat(a.make, identitySteps(o, a)) {
					s.needs(freed...)
				}
			}
		}
	}
}

// connectOverloads: a routine that goes is out of the way before another of its name comes, lest calls become ambiguous.
// That is no need, and is dropped where something still uses the old one.
func (b *builder) connectOverloads() {
	bare := func(k catalog.Key) string { n, _ := scanIdent(k.Name); return k.Schema + "." + n }
	routine := func(k catalog.Key) bool { return isRoutine(k.Kind) }
	going := map[string][]*step{}
	for i := range b.live.Objects {
		if k := b.live.Objects[i].Key; routine(k) && b.goes(k) {
			going[bare(k)] = append(going[bare(k)], b.goneSteps(k)...)
		}
	}
	for i := range b.want.Objects {
		k := b.want.Objects[i].Key
		if a := b.at[k]; routine(k) && a != nil {
			for _, s := range a.make {
				for _, before := range going[bare(k)] {
					s.prefers(before)
				}
			}
		}
	}
}

// freeing are the alterations of an object that give a name up: DROP IDENTITY drops a sequence.
func (b *builder) freeing(k catalog.Key) []*step {
	var out []*step
	if a := b.at[k]; a != nil {
		for _, s := range a.alter {
			if s.frees {
				out = append(out, s)
			}
		}
	}
	return out
}

// identitySteps are the alterations of a column that may make a sequence.
func identitySteps(o *catalog.Object, a *actions) []*step {
	if o.Key.Kind != catalog.Column || o.Fact(catalog.FactIdentity) == "" {
		return nil
	}
	var out []*step
	for _, s := range a.alter {
		if s.claims {
			out = append(out, s)
		}
	}
	return out
}

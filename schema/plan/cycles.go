package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// breakCycles takes out of CREATE TABLE what would make new objects need each other in a circle: first
// foreign keys, then other constraints, then defaults. They are added once everything is there.
func (b *builder) breakCycles() {
	for _, kind := range []func(*catalog.Object) bool{
		func(o *catalog.Object) bool { return o.Fact(catalog.FactConstraintType) == "f" },
		func(o *catalog.Object) bool {
			return o.Key.Kind == catalog.Constraint && !strings.Contains("n", o.Fact(catalog.FactConstraintType))
		},
		func(o *catalog.Object) bool { return o.Key.Kind == catalog.Column && o.Fact(catalog.FactDefault) != "" },
	} {
		circles := b.circles()
		for i := range b.want.Objects {
			o := &b.want.Objects[i]
			circle, ok := circles[b.holder(o.Key)]
			if !ok || o.Key.Table == "" || !kind(o) {
				continue
			}
			for _, n := range o.Needs {
				if other, ok := circles[b.holder(n)]; ok && other == circle && b.holder(n) != b.holder(o.Key) {
					b.detached[o.Key] = true
				}
			}
		}
	}
}

// holder is the new object whose statement makes k: its table for columns and for constraints that are not detached.
func (b *builder) holder(k catalog.Key) catalog.Key {
	if (k.Kind == catalog.Column || k.Kind == catalog.Constraint) && !b.detached[k] && b.fates[k.Owner()] == create {
		return k.Owner()
	}
	return k
}

// circles numbers the sets of new objects that need each other (strongly connected components of more than one).
func (b *builder) circles() map[catalog.Key]int {
	needs := map[catalog.Key][]catalog.Key{}
	for i := range b.want.Objects {
		o := &b.want.Objects[i]
		if b.fates[o.Key] != create && b.fates[o.Key] != recreate {
			continue
		}
		h := b.holder(o.Key)
		list := slices.Clone(o.Needs)
		if owner := ownerOf(b.want, o.Key); owner != nil {
			list = append(list, owner.Key)
		}
		if b.detached[o.Key] && o.Key.Kind == catalog.Column { // only the default is left for later
			list, h = nil, o.Key
		}
		for _, n := range list {
			if to := b.holder(n); to != h && (b.fates[n] == create || b.fates[n] == recreate) {
				needs[h] = append(needs[h], to)
			}
		}
	}
	return components(needs)
}

// breakDropCycles: tables that go together with what they need, and that needs them, first lose the constraints
// and defaults that make the circle.
func (b *builder) breakDropCycles() {
	for _, kind := range []string{"f", "c", "default"} {
		circles := b.dropCircles()
		for i := range b.live.Objects {
			o := &b.live.Objects[i]
			circle, ok := circles[b.root(o.Key)]
			if !ok || b.vanishes[o.Key] == (catalog.Key{}) || kind != o.Fact(catalog.FactConstraintType) && !(kind == "default" && o.Fact(catalog.FactDefault) != "") {
				continue
			}
			for _, n := range o.Needs {
				other, ok := circles[b.root(n)]
				switch {
				case !ok || other != circle || b.root(n) == b.root(o.Key):
				case kind == "default" && b.unset[o.Key] == nil:
					b.unset[o.Key] = b.setDefault(o.Key, nil, &catalog.Object{Key: o.Key}, "what it calls goes before the table does")
				case kind != "default":
					delete(b.vanishes, o.Key)
				}
			}
		}
	}
}

// root is what k vanishes with, or k itself.
func (b *builder) root(k catalog.Key) catalog.Key {
	for range 10 {
		holder, ok := b.vanishes[k]
		if !ok {
			break
		}
		k = holder
	}
	return k
}

// dropCircles numbers the sets of objects that go and need each other.
func (b *builder) dropCircles() map[catalog.Key]int {
	needs := map[catalog.Key][]catalog.Key{}
	for i := range b.live.Objects {
		o := &b.live.Objects[i]
		if !b.goes(o.Key) {
			continue
		}
		from := b.root(o.Key)
		for _, n := range o.Needs {
			if to := b.root(n); to != from && b.goes(n) && b.unset[o.Key] == nil {
				needs[from] = append(needs[from], to)
			}
		}
	}
	return components(needs)
}

// components is Tarjan's algorithm.
func components(needs map[catalog.Key][]catalog.Key) map[catalog.Key]int {
	t := &tarjan{needs: needs, index: map[catalog.Key]int{}, low: map[catalog.Key]int{}, on: map[catalog.Key]bool{}, out: map[catalog.Key]int{}}
	nodes := make([]catalog.Key, 0, len(needs))
	for k := range needs {
		nodes = append(nodes, k)
	}
	slices.SortFunc(nodes, catalog.CompareKeys)
	for _, k := range nodes {
		if _, seen := t.index[k]; !seen {
			t.visit(k)
		}
	}
	return t.out
}

type tarjan struct {
	needs      map[catalog.Key][]catalog.Key
	index, low map[catalog.Key]int
	on         map[catalog.Key]bool
	stack      []catalog.Key
	found      int
	out        map[catalog.Key]int
}

func (t *tarjan) visit(k catalog.Key) {
	t.index[k], t.low[k] = len(t.index), len(t.index)
	t.stack, t.on[k] = append(t.stack, k), true
	for _, n := range t.needs[k] {
		if _, seen := t.index[n]; !seen {
			t.visit(n)
			t.low[k] = min(t.low[k], t.low[n])
		} else if t.on[n] {
			t.low[k] = min(t.low[k], t.index[n])
		}
	}
	if t.low[k] != t.index[k] {
		return
	}
	at := slices.Index(t.stack, k)
	members := t.stack[at:]
	for _, m := range members {
		t.on[m] = false
		if len(members) > 1 {
			t.out[m] = t.found
		}
	}
	t.found++
	t.stack = t.stack[:at]
}

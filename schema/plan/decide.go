package plan

import (
	"slices"

	"github.com/pgtender/pgtender/schema/catalog"
)

// decide gives every object its fate: first by its own difference, then, until nothing changes any more, by what
// it depends on. Dependents of an object that goes away, or of a column whose type changes, are dropped and made again.
func (b *builder) decide() {
	var work []catalog.Key
	for _, k := range b.keys() {
		if f := b.firstFate(k); f != keep {
			b.fates[k] = f
		}
		if b.disturbs(k) {
			work = append(work, k)
		}
	}
	for len(work) > 0 {
		k := work[0]
		work = work[1:]
		for _, d := range slices.Concat(b.dependents[k], b.parts(k)) {
			before, swapped := b.fates[d], b.swapped[d]
			b.follow(d, k)
			if b.fates[d] != before || b.swapped[d] != swapped {
				work = append(work, d)
			}
		}
	}
	for _, k := range b.keys() {
		b.vanish(k)
	}
}

func (b *builder) firstFate(k catalog.Key) fate {
	d := b.diffs[k]
	switch {
	case d == nil || b.adopted[k] != (catalog.Key{}):
		return keep
	case b.isRenamed(k):
		return alter
	case d.Change == catalog.Missing:
		return create
	case d.Change == catalog.Extra:
		return drop
	case b.mustReplace(k, b.liveObject(k), b.wantObject(k)):
		return recreate
	}
	return alter
}

// mustReplace reports whether the object's own difference cannot be removed in place.
func (b *builder) mustReplace(k catalog.Key, live, want *catalog.Object) bool {
	switch k.Kind {
	case catalog.Enum:
		return b.differsIn(k, catalog.FactLabels) && !enumGrows(live, want)
	case catalog.Column:
		return b.differsIn(k, catalog.FactGenerated) && !dropsExpression(live, want) ||
			b.differsIn(k, catalog.FactExpression) && want.Fact(catalog.FactGenerated) == "virtual" && b.hasChecks(k.Owner())
	case catalog.Constraint:
		return b.differsIn(k, catalog.FactEnabled, catalog.FactConstraintType) || !constraintAlters(live, want)
	case catalog.Index:
		return b.differsIn(k, catalog.FactValid) || b.differsIn(k, catalog.FactDefinition) && !indexSets(live, want)
	case catalog.Composite:
		return b.differsIn(k, catalog.FactAttributes) && !b.compositeAlters(k, live, want)
	case catalog.Aggregate:
		return b.differsIn(k, catalog.FactDefinition) && !slices.Equal(live.Notes.Columns, want.Notes.Columns)
	case catalog.Statistics, catalog.MatView, catalog.Policy, catalog.Range, catalog.Collation, catalog.EventTrigger:
		return b.differsIn(k, catalog.FactDefinition)
	case catalog.View:
		return b.differsIn(k, catalog.FactDefinition) && !viewReplaces(live, want)
	case catalog.Function, catalog.Procedure:
		return b.differsIn(k, catalog.FactDefinition) && !routineReplaces(live.Fact(catalog.FactDefinition), want.Fact(catalog.FactDefinition))
	case catalog.Trigger:
		return b.differsIn(k, catalog.FactDefinition) && !b.triggerReplaces(k, live, want) || b.differsIn(k, catalog.FactEnabled) && b.ofView(k)
	}
	return false
}

// hasChecks: where there are CHECK constraints, PostgreSQL 18 cannot change the expression of a virtual column.
func (b *builder) hasChecks(t catalog.Key) bool {
	return slices.ContainsFunc(b.liveBy.of(t, catalog.Constraint), func(o *catalog.Object) bool {
		return o.Fact(catalog.FactConstraintType) == "c"
	})
}

// viewReplaces: CREATE OR REPLACE VIEW can only append columns.
func viewReplaces(live, want *catalog.Object) bool {
	n := len(live.Notes.Columns)
	return n > 0 && len(want.Notes.Columns) >= n && slices.Equal(live.Notes.Columns, want.Notes.Columns[:n])
}

// ofView reports whether k is a part of a view or materialised view.
func (b *builder) ofView(k catalog.Key) bool {
	o := ownerOf(b.live, k)
	if o == nil {
		o = ownerOf(b.want, k)
	}
	return o != nil && o.Key.Kind != catalog.Table
}

// retyped reports whether a column's type or collation changes in place.
func (b *builder) retyped(k catalog.Key) bool {
	_, swapped := b.swapped[k]
	return k.Kind == catalog.Column && b.fates[k] == alter && (swapped || b.differsIn(k, catalog.FactType, catalog.FactCollation))
}

// goes reports whether the live object is dropped, for good or to be made again.
func (b *builder) goes(k catalog.Key) bool { return b.fates[k] == drop || b.fates[k] == recreate }

func (b *builder) disturbs(k catalog.Key) bool { return b.goes(k) || b.retyped(k) }

// parts are the live parts of a table or view that goes.
func (b *builder) parts(k catalog.Key) []catalog.Key {
	if k.Kind != catalog.Table && k.Kind != catalog.View && k.Kind != catalog.MatView {
		return nil
	}
	var out []catalog.Key
	for _, o := range b.liveBy[[2]string{k.Schema, k.Name}] {
		out = append(out, o.Key)
	}
	return out
}

// follow settles the fate of d, which depends on k or is part of it, now that k goes or changes its type.
func (b *builder) follow(d, k catalog.Key) {
	if b.goes(d) || d == k {
		return
	}
	want := b.wantObject(d)
	if want == nil {
		return
	}
	if b.fates[d] == alter && !slices.Contains(want.Needs, k) && d.Owner() != k && !b.partOf(d, k) {
		return // its own alteration comes first and frees it
	}
	remake := func() {
		b.fates[d], b.because[d] = recreate, k
	}
	switch d.Kind {
	case catalog.View, catalog.MatView, catalog.Rule, catalog.Trigger, catalog.Policy, catalog.Function, catalog.Procedure,
		catalog.Aggregate, catalog.EventTrigger:
		remake()
	case catalog.Index, catalog.Statistics, catalog.Constraint:
		if !b.retyped(k) { // the server rebuilds them by itself when a column changes its type
			remake()
		}
	case catalog.Column:
		b.followColumn(d, k, remake)
	case catalog.Sequence:
		if k.Kind != catalog.Column || !b.retyped(k) {
			b.refuse(d, "it belongs to "+k.String()+", which has to be dropped and made again", "change it by hand first")
		}
	default:
		if !b.retyped(k) {
			b.refuse(d, "it depends on "+k.String()+", which has to be dropped and made again", "change one of the two by hand first")
		}
	}
}

func (b *builder) partOf(d, k catalog.Key) bool {
	return d.Table != "" && d.Schema == k.Schema && d.Table == k.Name &&
		(k.Kind == catalog.Table || k.Kind == catalog.View || k.Kind == catalog.MatView)
}

// followColumn: a generated column is made again; a default is taken away and set again; a type cannot be exchanged.
func (b *builder) followColumn(d, k catalog.Key, remake func()) {
	live := b.liveObject(d)
	switch {
	case live.Fact(catalog.FactGenerated) != "" && (k.Kind == catalog.Column || k.Kind == catalog.Function):
		remake()
	case k.Kind == catalog.Enum && live.Fact(catalog.FactType) == b.wantObject(d).Fact(catalog.FactType) && live.Fact(catalog.FactGenerated) == "":
		b.fates[d], b.swapped[d], b.because[d] = alter, k, k
	case b.retyped(k):
	case live.Fact(catalog.FactDefault) != "" && (k.Kind == catalog.Function || k.Kind == catalog.Sequence):
		b.columnDeps[d], b.because[d] = true, k
	default:
		b.refuse(d, "it depends on "+k.String()+", which has to be dropped and made again", "change one of the two by hand first")
	}
}

// vanish notes what the server drops by itself together with a column, table or view.
func (b *builder) vanish(k catalog.Key) {
	live := b.liveObject(k)
	if live == nil || !b.goes(k) {
		return
	}
	if owner := ownerOf(b.live, k); owner != nil && b.goes(owner.Key) {
		b.vanishes[k] = owner.Key
		return
	}
	if k.Kind == catalog.Partition {
		if _, parent := b.parentOf(b.live, live); parent != nil && b.goes(parent.Key) {
			b.vanishes[k] = parent.Key
		}
		return
	}
	if owner := columnKey(live.Fact(catalog.FactOwnedBy)); k.Kind == catalog.Sequence && owner.Name != "" {
		if table := owner.Owner(); b.goes(table) {
			b.vanishes[k] = table
		} else if b.goes(owner) {
			b.vanishes[k] = owner
		}
		return
	}
	if k.Kind != catalog.Index && k.Kind != catalog.Constraint && k.Kind != catalog.Statistics {
		return
	}
	for _, n := range live.Needs {
		if n.Kind == catalog.Column && (k.Table == "" || n.Table == k.Table && n.Schema == k.Schema) && b.goes(n) && !refersTo(live, n) {
			b.vanishes[k] = n
			return
		}
	}
}

// goneSteps are the steps that remove the live object, wherever they are filed.
func (b *builder) goneSteps(k catalog.Key) []*step {
	if a := b.at[b.root(k)]; a != nil {
		return a.gone
	}
	return nil
}

package plan

import (
	"slices"

	"github.com/pgtender/pgtender/schema/catalog"
)

// rename files the declared renames behind all other steps, in one transaction.
func (b *builder) rename(renames []catalog.Rename) {
	if len(renames) == 0 {
		return
	}
	others := slices.Clone(b.steps)
	b.delayRoutines(others)
	var last *step
	old := map[catalog.Key]catalog.Key{}
	for _, r := range slices.Backward(renames) {
		if r.Key.Kind == catalog.Table {
			old[r.Key] = catalog.TableKey(r.Key.Schema, r.Old)
		}
		s := b.add(alters, r.Key, Statement{SQL: r.SQL(), Reason: renameReason(r), Lock: renameLock(r), Hazards: renameHazards(r)})
		s.rank.drop = 2
		table := r.Key.Owner()
		if was, ok := old[table]; ok {
			table = was
		}
		if below := b.below(table); below > 0 && r.Key.Kind == catalog.Column {
			s.Lock = on(accessExclusive, tableWords(r.Key)) + " and its " + count(below, "partition")
		}
		s.needs(others...)
		if last != nil {
			s.needs(last)
			tie(last, s)
		}
		last = s
	}
}

// delayRoutines lets a routine that is replaced wait for the statements that run outside the renames' transaction, unless something
// waits for it: its body may name what is about to be renamed.
func (b *builder) delayRoutines(steps []*step) {
	waited := map[*step]bool{}
	for _, s := range steps {
		for _, a := range s.after {
			waited[a] = true
		}
	}
	for _, s := range steps {
		k := s.Object.Kind
		if !isRoutine(k) || s.role != alters || waited[s] {
			continue
		}
		for _, o := range steps {
			if o.mode != together {
				s.prefers(o)
			}
		}
	}
}

func renameReason(r catalog.Rename) string {
	if r.Label != "" {
		return "declared as renamed from '" + r.Old + "'"
	}
	return "declared as renamed from " + r.Old
}

// renameLock is what ALTER … RENAME takes; what has an old name is locked under it, and told under its new one.
func renameLock(r catalog.Rename) string {
	k := r.Key
	switch {
	case r.Label != "":
		return ""
	case k.Kind == catalog.Index:
		return on(shareUpdateExclusive, "index "+k.Schema+"."+k.Table+"."+r.Old)
	case k.Table != "":
		return on(accessExclusive, tableWords(k))
	case slices.Contains([]catalog.Kind{catalog.Table, catalog.Partition, catalog.View, catalog.MatView, catalog.Sequence}, k.Kind):
		return on(accessExclusive, k.Schema+"."+r.Old)
	}
	return ""
}

func renameHazards(r catalog.Rename) []Hazard {
	if r.Label != "" {
		return []Hazard{{BreaksCode, "code that says '" + r.Old + "' fails afterwards; values that are stored follow by themselves"}}
	}
	switch r.Key.Kind {
	case catalog.Index, catalog.Trigger, catalog.Policy, catalog.Rule, catalog.Statistics:
		return nil
	case catalog.Constraint:
		return []Hazard{{BreaksCode, "ON CONFLICT ON CONSTRAINT " + r.Old + " fails afterwards"}}
	}
	return []Hazard{{BreaksCode, "queries and bodies of routines that say " + r.Old + " fail afterwards; what PostgreSQL keeps parsed (views, constraints, indexes) follows by itself"}}
}

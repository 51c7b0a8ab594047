package plan

import (
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// build files the steps of one object.
func (b *builder) build(k catalog.Key) {
	live, want, fate := b.liveObject(k), b.wantObject(k), b.fates[k]
	switch {
	case k.Kind == catalog.DefaultPrivileges: // see privileges
		return
	case b.isRenamed(k):
		b.buildRename(k)
		return
	case fate == keep && b.columnDeps[k]:
		b.alterColumn(k, live, want)
		return
	case fate == keep:
		return
	}
	if k.Kind == catalog.Index && want != nil && want.Fact(catalog.FactValid) != "" {
		b.refuse(k, "the sources declare it as an invalid index", "write CREATE INDEX without ONLY: the partitions' indexes are made and attached by the plan")
		return
	}
	if fate == recreate && b.swapsType(k) {
		if k.Kind == catalog.Enum {
			b.swapEnum(k, live, want)
		} else {
			b.swapComposite(k, want)
		}
		return
	}
	if b.goes(k) {
		if _, ok := b.vanishes[k]; ok {
			if fate == drop {
				b.cover(k)
			}
		} else {
			b.buildDrop(k, live)
		}
	}
	switch fate {
	case create, recreate:
		b.buildCreate(k, want)
	case alter:
		b.buildAlter(k, live, want)
	}
}

func (b *builder) buildCreate(k catalog.Key, want *catalog.Object) {
	switch k.Kind {
	case catalog.Table:
		b.createTable(k, want)
	case catalog.Partition:
		b.createPartition(k, want)
	case catalog.Column:
		if b.ownerFate(b.want, k) != create {
			b.addColumn(k, want)
		}
	case catalog.Constraint:
		if b.ownerFate(b.want, k) != create || b.detached[k] {
			b.addConstraint(k, want)
		}
	case catalog.Index:
		b.createIndex(k, want)
	default:
		b.createOther(k, want)
	}
}

// createOther makes what one statement of the server's own definition makes.
func (b *builder) createOther(k catalog.Key, want *catalog.Object) {
	definition := strings.TrimRight(strings.TrimSpace(want.Fact(catalog.FactDefinition)), ";")
	s := Statement{SQL: definition, Reason: b.whyMake(k)}
	switch k.Kind {
	case catalog.Schema:
		s.SQL = "CREATE SCHEMA " + name(k)
	case catalog.Extension:
		s.SQL = "CREATE EXTENSION " + name(k) + " WITH SCHEMA " + pg.Ident(want.Fact(catalog.FactSchema))
		if v := want.Fact(catalog.FactVersion); v != "" {
			s.SQL += " VERSION " + strings.TrimSpace(pg.Literal(v))
		}
	case catalog.Enum:
		s.SQL = "CREATE TYPE " + name(k) + " AS ENUM (" + want.Fact(catalog.FactLabels) + ")"
	case catalog.Domain:
		s.SQL = createDomain(k, want)
	case catalog.Composite:
		s.SQL = "CREATE TYPE " + name(k) + " AS (" + want.Fact(catalog.FactAttributes) + ")"
	case catalog.Sequence:
		s.SQL = createSequence(k, want)
	case catalog.View, catalog.MatView:
		b.createView(k, want, definition)
		return
	case catalog.Policy:
		s.SQL = "CREATE POLICY " + pg.Ident(k.Name) + " ON " + table(k) + " " + definition
		s.Lock = on(accessExclusive, tableWords(k))
		if owner := b.liveObject(k.Owner()); b.fates[k] == create && owner != nil && strings.Contains(owner.Fact(catalog.FactRLS), "enabled") {
			s.Hazards = []Hazard{{BreaksCode, newPolicy(definition)}}
		}
	case catalog.Trigger:
		s.Lock = on(shareRowExclusive, tableWords(k))
	case catalog.Rule:
		s.Lock = on(accessExclusive, tableWords(k))
	case catalog.Statistics:
		s.Lock = b.statisticsLock(want)
	}
	if k.Table != "" && b.freshOwner(k) {
		s.Lock = ""
	}
	b.restore(k, b.add(makes, k, s))
	b.cover(k)
	b.createExtras(k, want)
	b.comment(k)
}

// restore gives an object that was made again its owner and privileges back, which are not compared, but must not be lost.
func (b *builder) restore(k catalog.Key, made ...*step) {
	live := b.liveObject(k)
	if live == nil || b.fates[k] != recreate {
		return
	}
	var before *step
	declared := b.wantObject(k).Fact(catalog.FactPrivileges) != ""
	for _, sql := range live.Notes.Restore {
		if declared && !strings.HasPrefix(sql, "ALTER ") {
			continue // see privileges
		}
		s := b.add(alters, k, Statement{SQL: sql, Reason: "owner and privileges as they were"})
		s.final = true
		s.needs(made...)
		if before != nil {
			s.needs(before)
		}
		tie(append([]*step{s}, made...)...)
		before = s
	}
}

// createExtras sets what the definition of a new object does not say.
func (b *builder) createExtras(k catalog.Key, want *catalog.Object) {
	made := b.actions(k).make
	var extra []*step
	switch k.Kind {
	case catalog.Sequence:
		if owner := want.Fact(catalog.FactOwnedBy); owner != "" {
			s := b.add(alters, k, Statement{SQL: "ALTER SEQUENCE " + name(k) + " OWNED BY " + owner, Reason: "the sequence goes with its column"})
			s.needs(b.actions(k).make...)
			s.final = true
			b.afterColumn(s, owner)
			if column := b.wantObject(columnKey(owner)); column != nil && b.becomesSerial(column) {
				b.carryPosition(k, column.Key, name(k), want.Fact(catalog.FactSequence), b.actions(k).make[0]).final = true
			}
		}
		return
	case catalog.Domain:
		b.domainConstraintComments(k, nil, want)
	case catalog.Composite:
		b.attributeComments(k, nil, want)
	case catalog.Trigger, catalog.Rule, catalog.EventTrigger:
		if want.Fact(catalog.FactEnabled) != "" {
			extra = append(extra, b.setEnabled(k, want))
		}
	case catalog.Statistics:
		if t := want.Fact(catalog.FactStatTarget); t != "" {
			extra = append(extra, b.add(makes, k, Statement{SQL: "ALTER STATISTICS " + name(k) + " SET STATISTICS " + t, Reason: "its statistics target"}))
		}
	}
	if x := want.Fact(catalog.FactDependsOn); x != "" {
		extra = append(extra, b.dependsOn(k, "", x)...)
	}
	for _, s := range extra {
		s.needs(made...)
	}
}

func (b *builder) buildDrop(k catalog.Key, live *catalog.Object) {
	switch k.Kind {
	case catalog.Table:
		b.dropTable(k, live)
	case catalog.Partition:
		b.dropPartition(k, live)
	case catalog.Column:
		b.dropColumn(k, live)
	case catalog.Constraint:
		b.dropConstraint(k, live)
	case catalog.Index:
		b.dropIndex(k, live)
	default:
		b.dropOther(k, live)
	}
}

// dropOther drops what DROP with the object's name drops.
func (b *builder) dropOther(k catalog.Key, live *catalog.Object) {
	s := Statement{SQL: "DROP " + b.target(k), Reason: b.why(k)}
	gone := func(what string) {
		if b.fates[k] != drop {
			what = b.changedMeaning(k, live)
		}
		if what != "" {
			s.Hazards = append(s.Hazards, Hazard{BreaksCode, what})
		}
	}
	switch k.Kind {
	case catalog.Composite:
		s.Lock = on(accessExclusive, k.String())
		gone("whatever uses " + k.String() + " fails afterwards")
	case catalog.View, catalog.MatView:
		s.Lock = on(accessExclusive, k.String())
		gone("queries that read " + k.String() + " fail afterwards")
	case catalog.Trigger, catalog.Rule, catalog.Policy:
		s.Lock = on(accessExclusive, tableWords(k))
		gone("what " + k.String() + " does or guards today happens no more")
	case catalog.Statistics:
		s.Lock = b.statisticsLock(live)
		gone("plans that rely on it may become slow")
	case catalog.Sequence:
		s.Lock = on(accessExclusive, k.String())
		if owner := columnKey(live.Fact(catalog.FactOwnedBy)); owner.Name != "" && b.becomesIdentity(owner) {
			s.Reason += "; its column becomes an identity, which goes on from the values that are there"
			break
		}
		gone("whatever calls nextval on it fails afterwards")
		s.Hazards = append([]Hazard{{DataLoss, "the sequence's position is gone"}}, s.Hazards...)
	case catalog.Extension:
		s.Hazards = append(s.Hazards, Hazard{DataLoss, "what the extension's own tables hold is gone"})
		gone("whatever uses the extension's functions and types fails afterwards")
	default:
		gone("whatever uses " + k.String() + " fails afterwards")
	}
	b.add(drops, k, s)
	b.cover(k)
}

func (b *builder) buildAlter(k catalog.Key, live, want *catalog.Object) {
	switch k.Kind {
	case catalog.Extension:
		b.alterExtension(k, want)
	case catalog.Enum:
		b.alterEnum(k, live, want)
	case catalog.Domain:
		b.alterDomain(k, live, want)
	case catalog.Composite:
		b.alterComposite(k, live, want)
	case catalog.Aggregate:
		d, _ := b.delta(k, catalog.FactDefinition)
		if d.Declared != "" {
			b.add(alters, k, Statement{SQL: "CREATE OR REPLACE AGGREGATE" + strings.TrimPrefix(d.Declared, "CREATE AGGREGATE"), Reason: describe(d)})
			b.cover(k, d.Name)
		}
	case catalog.EventTrigger:
		if b.differsIn(k, catalog.FactEnabled) {
			b.setEnabled(k, want)
		}
	case catalog.Sequence:
		b.alterSequence(k, live, want)
	case catalog.Table:
		b.alterTable(k, live, want)
	case catalog.Partition:
		b.alterPartition(k, live, want)
	case catalog.Column:
		b.alterColumn(k, live, want)
	case catalog.Constraint:
		b.alterConstraint(k, live, want)
	case catalog.Index:
		b.setIndexOptions(k, live, want)
		b.indexProperties(k, live, want, false)
	case catalog.Statistics:
		b.alterStatistics(k, want)
	case catalog.View, catalog.MatView:
		b.alterView(k, live, want)
	case catalog.Function, catalog.Procedure, catalog.Trigger, catalog.Rule:
		b.replace(k, live, want)
	}
	if b.differsIn(k, catalog.FactDependsOn) {
		b.dependsOn(k, live.Fact(catalog.FactDependsOn), want.Fact(catalog.FactDependsOn))
		b.cover(k, catalog.FactDependsOn)
	}
	if b.differsIn(k, catalog.FactComment) {
		b.comment(k)
	}
}

// why tells the reason for making or dropping an object.
func (b *builder) why(k catalog.Key) string {
	if cause, ok := b.because[k]; ok {
		switch {
		case b.retyped(cause):
			return "depends on " + cause.String() + ", whose type changes: dropped before, made again after"
		case b.fates[cause] == drop:
			return "depends on " + cause.String() + ", which goes"
		}
		return "depends on " + cause.String() + ", which has to be made anew: dropped before, made again after"
	}
	d := b.diffs[k]
	if d == nil {
		return isMissing
	}
	switch d.Change {
	case catalog.Missing:
		return isMissing
	case catalog.Extra:
		return isExtra
	}
	out := make([]string, len(d.Deltas))
	for i, delta := range d.Deltas {
		out[i] = describe(delta)
	}
	return strings.Join(out, "; ")
}

// whyMake tells the reason for the second half of a recreation, and otherwise the same as why.
func (b *builder) whyMake(k catalog.Key) string {
	if b.fates[k] != recreate || len(b.goneSteps(k)) == 0 {
		return b.why(k)
	}
	cause, ok := b.because[k]
	switch {
	case ok && b.retyped(cause):
		return "made again for the new type of " + cause.String()
	case ok:
		return "made again, since " + cause.String() + " was made anew"
	}
	return "made again as declared"
}

// comment sets the declared comment of an object, if it is there to be set or taken away.
func (b *builder) comment(k catalog.Key) *step {
	text := b.wantObject(k).Fact(catalog.FactComment)
	fresh := b.fates[k] == create || b.fates[k] == recreate
	if text == "" && fresh {
		return nil
	}
	s := Statement{SQL: "COMMENT ON " + b.target(k) + " IS " + commentText(text), Reason: "the declared comment"}
	if !fresh {
		s.Reason = b.describeAll(k, catalog.FactComment)
	}
	switch k.Kind {
	case catalog.Table, catalog.Partition, catalog.View, catalog.MatView, catalog.Index, catalog.Sequence:
		if !fresh {
			s.Lock = on(shareUpdateExclusive, k.String())
		}
	case catalog.Column:
		if !b.freshOwner(k) {
			s.Lock = on(shareUpdateExclusive, tableWords(k))
		}
	}
	made := b.actions(k).make
	out := b.add(alters, k, s)
	out.rank.part += 20 // behind all parts of a table
	out.final = true
	out.needs(made...)
	b.cover(k, catalog.FactComment)
	return out
}

// freshOwner reports whether the table or view of k is made by this plan.
func (b *builder) freshOwner(k catalog.Key) bool {
	f := b.ownerFate(b.want, k)
	return f == create || f == recreate
}

// statisticsLock: making and dropping extended statistics locks their table.
func (b *builder) statisticsLock(o *catalog.Object) string {
	for _, n := range o.Needs {
		if owner := n.Owner(); owner.Kind == catalog.Table && b.fates[owner] != create {
			return on(shareUpdateExclusive, owner.Schema+"."+owner.Name)
		}
	}
	return ""
}

func commentText(text string) string {
	if text == "" {
		return "NULL"
	}
	return strings.TrimSpace(pg.Literal(text))
}

// dependsOn sets the extensions that an object goes with; both lists are comma-separated names.
func (b *builder) dependsOn(k catalog.Key, live, want string) []*step {
	var out []*step
	alterDepends := func(no, extension string) {
		out = append(out, b.add(alters, k, Statement{
			SQL:    "ALTER " + b.target(k) + " " + no + "DEPENDS ON EXTENSION " + extension,
			Reason: "depends on extension is " + orNone(live) + ", declared is " + orNone(want),
		}))
	}
	old, declared := splitList(live), splitList(want)
	for _, x := range without(old, declared) {
		alterDepends("NO ", x)
	}
	for _, x := range without(declared, old) {
		alterDepends("", x)
	}
	return out
}

// without are the members of a that b lacks.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

package plan

import (
	"fmt"
	"slices"

	"github.com/pgtender/pgtender/schema/catalog"
)

func partitionKey(table catalog.Key) catalog.Key {
	return catalog.Key{Kind: catalog.Partition, Schema: table.Schema, Name: table.Name}
}

// parentOf is the table that a partition is one of, and that table as an object: a table, or again a partition.
func (b *builder) parentOf(s *catalog.Snapshot, partition *catalog.Object) (table catalog.Key, object *catalog.Object) {
	parts, _ := scanName(partition.Fact(catalog.FactPartitionOf))
	if len(parts) != 2 {
		return catalog.Key{}, nil
	}
	table = catalog.TableKey(parts[0], parts[1])
	if object = lookup(s, table); object == nil {
		object = lookup(s, partitionKey(table))
	}
	return table, object
}

// createPartition makes a partition of a new table at once, and one of an old table beside it, to attach it under a weaker lock. It comes
// last, so that it gets the parent's columns, constraints and indexes whole.
func (b *builder) createPartition(k catalog.Key, want *catalog.Object) {
	parent, object := b.parentOf(b.want, want)
	head := "CREATE "
	if want.Fact(catalog.FactPersistence) != "" {
		head += "UNLOGGED "
	}
	head += "TABLE " + name(k)
	tail := ""
	if key := want.Fact(catalog.FactPartitionKey); key != "" {
		tail += " PARTITION BY " + key
	}
	if am := want.Fact(catalog.FactAccessMethod); am != "" {
		tail += " USING " + am
	}
	if options := optionList(want.Fact(catalog.FactOptions)); options != "" {
		tail += " WITH (" + options + ")"
	}
	if ts := want.Fact(catalog.FactTablespace); ts != "" {
		tail += " TABLESPACE " + ts
	}
	bound := want.Fact(catalog.FactBound)
	if object == nil || b.fates[object.Key] == create || b.fates[object.Key] == recreate {
		made := b.add(makes, k, Statement{SQL: head + " PARTITION OF " + name(parent) + " " + bound + tail, Reason: b.whyMake(k)})
		b.behindParent(made, parent)
	} else {
		made := b.add(makes, k, Statement{SQL: head + " (LIKE " + name(parent) +
			" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)" + tail, Reason: b.whyMake(k)})
		b.behindParent(made, parent)
		tie(made, b.attach(k, parent, bound, "it becomes a partition", made))
	}
	b.cover(k)
	b.comment(k)
}

// attach files ATTACH PARTITION behind the steps that must come before it.
func (b *builder) attach(k, parent catalog.Key, bound, reason string, after ...*step) *step {
	s := Statement{SQL: "ALTER TABLE " + name(parent) + " ATTACH PARTITION " + name(k) + " " + bound, Reason: reason,
		Lock: on(shareUpdateExclusive, parent.Schema+"."+parent.Name)}
	for _, c := range b.children[parent] {
		if c.Bound == "DEFAULT" && c.Table.Name != k.Name {
			s.Lock = on(accessExclusive, c.Table.Schema+"."+c.Table.Name+", the default partition")
			s.Hazards = append(s.Hazards, Hazard{LongLock, "readers and writers of the default partition wait while it is scanned for rows of the new one"})
		}
	}
	attached := b.add(makes, k, s)
	attached.needs(after...)
	b.behindParent(attached, parent)
	return attached
}

// behindParent puts a step behind all that makes or alters the parent and its parts, and behind the going of its other partitions.
func (b *builder) behindParent(s *step, parent catalog.Key) {
	b.lateParents = append(b.lateParents, lateNeed{s, parent})
}

// connectPartitions is called when all steps are filed.
func (b *builder) connectPartitions() {
	for _, n := range b.lateParents {
		for _, other := range b.steps {
			o := other.Object
			of := o.Schema == n.on.Schema && (o.Table == n.on.Name || o.Table == "" && o.Name == n.on.Name && (o.Kind == catalog.Table || o.Kind == catalog.Partition))
			switch {
			case of && o != n.step.Object && other.role != drops && !other.final:
				n.step.needs(other)
			case o.Kind == catalog.Partition && other.role == drops && o != n.step.Object && b.siblingOf(o, n.on):
				n.step.prefers(other)
			}
		}
	}
}

func (b *builder) siblingOf(k, parent catalog.Key) bool {
	live := b.liveObject(k)
	if live == nil {
		return false
	}
	table, _ := b.parentOf(b.live, live)
	return table == parent
}

func (b *builder) dropPartition(k catalog.Key, live *catalog.Object) {
	parent, _ := b.parentOf(b.live, live)
	gone := k.String()
	if n := live.Notes.Leaves; live.Notes.Partitioned && n > 0 {
		gone += fmt.Sprintf(" and of the %d partitions below it", n)
	}
	b.add(drops, k, Statement{SQL: "DROP TABLE " + name(k), Reason: b.why(k), Lock: on(accessExclusive, parent.Schema+"."+parent.Name+" and "+k.Schema+"."+k.Name),
		Hazards: []Hazard{{DataLoss, "all rows of " + gone + " are gone (" + size(live) + ")"}, {BreaksCode, "rows that belong into it are refused afterwards, if no other partition takes them"}}})
	b.cover(k)
}

// alterPartition moves a partition to other bounds or another parent by detaching and attaching it.
func (b *builder) alterPartition(k catalog.Key, live, want *catalog.Object) {
	if b.differsIn(k, catalog.FactBound, catalog.FactPartitionOf) {
		from, _ := b.parentOf(b.live, live)
		to, _ := b.parentOf(b.want, want)
		reason := b.describeAll(k, catalog.FactPartitionOf, catalog.FactBound)
		detached := b.add(drops, k, Statement{SQL: "ALTER TABLE " + name(from) + " DETACH PARTITION " + name(k), Reason: reason,
			Lock: on(accessExclusive, from.Schema+"."+from.Name)})
		detached.rank.drop, detached.replaced = 0, true
		attached := b.attach(k, to, want.Fact(catalog.FactBound), "back with the declared bounds", detached)
		attached.Lock = on(accessExclusive, k.Schema+"."+k.Name)
		attached.Hazards = append(attached.Hazards,
			Hazard{LongLock, "readers and writers of the partition wait while it is scanned (" + size(live) + ")"},
			Hazard{BreaksCode, "a row outside the new bounds makes it fail, and nothing is changed; rows of the old bounds alone are refused afterwards"})
		tie(detached, attached)
		b.cover(k, catalog.FactBound, catalog.FactPartitionOf)
	}
	if d, ok := b.delta(k, catalog.FactOptions); ok {
		b.options(k, "ALTER TABLE ", d)
	}
}

// withoutGoing leaves partitions that are dropped out of what is planned for their siblings.
func (b *builder) withoutGoing() {
	for parent, list := range b.children {
		b.children[parent] = slices.DeleteFunc(slices.Clone(list), func(c catalog.Child) bool { return b.fates[partitionKey(c.Table)] == drop })
	}
}

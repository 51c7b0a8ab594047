package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// concurrentIndex builds an index while others read and write.
func concurrentIndex(x index, reason, on string) Statement {
	return Statement{SQL: x.sql(true), Reason: reason, Lock: shareUpdateExclusive + " on " + on,
		Cleanup: "DROP INDEX CONCURRENTLY IF EXISTS " + pg.Ident(x.schema, x.name)}
}

// createIndex makes an index: plainly on a new table or view, concurrently on one that is there, and on a
// partitioned table first on the parent alone, then on each partition concurrently, then attached.
func (b *builder) createIndex(k catalog.Key, want *catalog.Object) {
	b.cover(k)
	x, ok := scanIndex(want.Fact(catalog.FactDefinition))
	if !ok {
		b.refuse(k, "its definition cannot be read: "+want.Fact(catalog.FactDefinition), "report this, and create it by hand")
		return
	}
	owner := ownerOf(b.want, k)
	fresh := owner == nil || b.fates[owner.Key] == create || b.fates[owner.Key] == recreate
	b.makeRoom(k)
	switch {
	case fresh || x.only && len(b.children[k.Owner()]) == 0:
		x.only = false
		s := Statement{SQL: x.sql(false), Reason: b.whyMake(k)}
		if !fresh {
			s.Lock = on(share, tableWords(k))
		}
		b.add(makes, k, s)
	case x.only:
		b.partitionedIndex(k, x)
	default:
		reason := b.why(k)
		if b.because[k] != (catalog.Key{}) {
			reason = b.whyMake(k)
		}
		s := b.add(makes, k, concurrentIndex(x, reason, tableWords(k)))
		s.mode = outside
	}
	b.indexProperties(k, nil, want, fresh)
	for _, s := range b.actions(k).alter {
		s.needs(b.actions(k).make...)
	}
	if x := want.Fact(catalog.FactDependsOn); x != "" {
		b.dependsOn(k, "", x)
	}
	b.comment(k)
}

// makeRoom renames the index that is to be replaced, so that it serves until its successor is built, and drops
// it then. One that is invalid serves nobody and goes first.
func (b *builder) makeRoom(k catalog.Key) {
	live := b.liveObject(k)
	_, vanishes := b.vanishes[k]
	if b.fates[k] != recreate || vanishes || b.because[k] != (catalog.Key{}) || live.Fact(catalog.FactValid) != "" {
		return
	}
	old := suffixed(k.Name, oldSuffix)
	rename := b.add(alters, k, Statement{SQL: "ALTER INDEX " + name(k) + " RENAME TO " + pg.Ident(old), Lock: on(shareUpdateExclusive, k.String()),
		Reason: "it serves until its successor is built"})
	a := b.actions(k)
	a.alter = nil
	for _, gone := range a.gone {
		gone.SQL = strings.Replace(gone.SQL, pg.Ident(k.Schema, k.Name), pg.Ident(k.Schema, old), 1)
		gone.Reason = "its successor is built"
	}
	b.online[k] = true
	b.roomFor[k] = rename
}

// partitionedIndex: whatever partition appears after the first statement gets its index by itself.
func (b *builder) partitionedIndex(k catalog.Key, x index) {
	parent := b.add(makes, k, Statement{SQL: x.sql(false), Lock: on(share, tableWords(k)),
		Reason: b.why(k) + "; the parent's index is empty until each partition's is attached"})
	b.attachChildren(k, k.Owner(), x, k.Name, parent)
}

// attachChildren builds and attaches the indexes of the table's partitions. declared is what the sources call the parent's index.
func (b *builder) attachChildren(k, parentTable catalog.Key, parent index, declared string, made *step) {
	for _, c := range b.children[parentTable] {
		child := parent
		child.schema, child.table, child.only = c.Table.Schema, c.Table.Name, !c.Leaf
		called := b.declaredIndex(c.Table, declared)
		child.name = called
		var goes catalog.Key // the index whose part has the name
		if taken, by := b.taken(child); taken || called == "" {
			child.name, goes = partitionIndexName(c.Table.Name, parent), b.wholeOf(k, by)
		}
		s := concurrentIndex(child, "for the partition", c.Table.Schema+"."+c.Table.Name)
		if !c.Leaf {
			s.SQL, s.Cleanup, s.Lock = child.sql(false), "", on(share, c.Table.Schema+"."+c.Table.Name)
		}
		built := b.add(makes, k, s)
		if c.Leaf {
			built.mode = outside
		}
		built.needs(made)
		attach := b.add(makes, k, Statement{SQL: "ALTER INDEX " + pg.Ident(parent.schema, parent.name) + " ATTACH PARTITION " + pg.Ident(child.schema, child.name),
			Reason: "the partition's index becomes part of the parent's", Lock: on(accessExclusive, "index "+child.schema+"."+child.name)})
		attach.needs(built)
		tie(made, built, attach)
		if f := b.fates[goes]; f == drop || f == recreate {
			renamed := b.add(alters, k, Statement{SQL: "ALTER INDEX " + pg.Ident(child.schema, child.name) + " RENAME TO " + pg.Ident(called),
				Reason: "its predecessor had the name", Lock: on(shareUpdateExclusive, "index "+child.schema+"."+child.name)})
			renamed.final = true
			renamed.needs(attach)
			b.afterGone = append(b.afterGone, lateNeed{renamed, goes})
			tie(attach, renamed)
		}
		if !c.Leaf {
			b.attachChildren(k, c.Table, child, called, built)
		}
	}
}

// declaredIndex is the name that the server gave a declared partition's part of an index when it ran the sources, or "".
func (b *builder) declaredIndex(partition catalog.Key, of string) string {
	for _, r := range b.want.Relations {
		if r.Schema == partition.Schema && r.Table == partition.Name && r.Of == of && of != "" {
			return r.Name
		}
	}
	return ""
}

// taken reports whether the name belongs to another relation already. An equal index that is part of none is what an earlier run has left.
func (b *builder) taken(x index) (bool, catalog.Relation) {
	for _, r := range b.live.Relations {
		if r.Schema == x.schema && r.Name == x.name {
			return !SameIndex(r.Definition, x.sql(false)), r
		}
	}
	return false, catalog.Relation{}
}

// wholeOf is the index of k's table that an index of one of its partitions, at any depth, is part of.
func (b *builder) wholeOf(k catalog.Key, part catalog.Relation) catalog.Key {
	for part.Of != "" {
		up := slices.IndexFunc(b.live.Relations, func(r catalog.Relation) bool { return r.Name == part.Of && r.Of != "" })
		if up < 0 {
			return catalog.Key{Kind: catalog.Index, Schema: k.Schema, Table: k.Table, Name: part.Of}
		}
		part = b.live.Relations[up]
	}
	return catalog.Key{}
}

// partitionIndexName is the name where the sources tell none, since a policy makes the partition. It is the same in each run for the same partition and definition, so that a run which was killed
// finds what it has built.
func partitionIndexName(table string, x index) string {
	sum := sha256.Sum256([]byte(x.rest))
	return suffixed(table, "_idx_"+hex.EncodeToString(sum[:4]))
}

// dropIndex drops concurrently, except on a partitioned table, where PostgreSQL cannot.
func (b *builder) dropIndex(k catalog.Key, live *catalog.Object) {
	b.cover(k)
	s := Statement{SQL: "DROP INDEX CONCURRENTLY " + name(k), Reason: b.why(k), Lock: on(shareUpdateExclusive, tableWords(k))}
	owner := ownerOf(b.live, k)
	partitioned := owner != nil && owner.Fact(catalog.FactPartitionKey) != ""
	together := partitioned || b.because[k] != (catalog.Key{}) // with what it stands in the way of
	if together {
		s.SQL, s.Lock = "DROP INDEX "+name(k), on(accessExclusive, tableWords(k))
		if n := b.below(k.Owner()); n > 0 {
			s.Lock += " and its " + count(n, "partition")
		}
	}
	ours := strings.HasSuffix(k.Name, oldSuffix) || strings.HasSuffix(k.Name, newSuffix)
	if b.fates[k] == drop && !ours && live.Fact(catalog.FactValid) == "" {
		s.Hazards = []Hazard{{BreaksCode, "queries that rely on it become slow (" + indexSize(live) + ")"}}
	}
	out := b.add(drops, k, s)
	if !together {
		out.mode = outside
	}
	for i := range b.want.Objects { // what an earlier run has renamed serves until its successor is complete
		if w := b.want.Objects[i].Key; w.Kind == catalog.Index && w.Owner() == k.Owner() && suffixed(w.Name, oldSuffix) == k.Name {
			b.lateNeeds = append(b.lateNeeds, lateNeed{out, w})
		}
	}
}

// indexProperties sets what the definition of an index or key does not say; live is nil for a new one.
func (b *builder) indexProperties(k catalog.Key, live, want *catalog.Object, fresh bool) []*step {
	from := func(fact string) string {
		if live == nil {
			return ""
		}
		return live.Fact(fact)
	}
	var out []*step
	set := func(fact, sql, lock string, hazards ...Hazard) {
		b.cover(k, fact)
		s := Statement{SQL: sql, Reason: "the declared " + fact, Hazards: hazards}
		if live != nil {
			s.Reason = b.describeAll(k, fact)
		}
		switch onIndex := strings.HasPrefix(sql, "ALTER INDEX ") || strings.HasPrefix(sql, "COMMENT ON INDEX "); {
		case fresh:
			s.Hazards = nil
		case !onIndex:
			s.Lock = on(lock, tableWords(k))
		case live != nil:
			s.Lock = on(lock, "index "+k.Schema+"."+k.Name)
		}
		out = append(out, b.add(alters, k, s))
	}
	if k.Kind == catalog.Constraint {
		old, declared := splitOptions(from(catalog.FactOptions)), splitOptions(want.Fact(catalog.FactOptions))
		if reset := without(optionNames(old), optionNames(declared)); len(reset) > 0 {
			set(catalog.FactOptions, "ALTER INDEX "+name(k)+" RESET ("+strings.Join(reset, ", ")+")", shareUpdateExclusive)
		}
		if from(catalog.FactOptions) != want.Fact(catalog.FactOptions) && len(declared) > 0 {
			set(catalog.FactOptions, "ALTER INDEX "+name(k)+" SET ("+optionList(want.Fact(catalog.FactOptions))+")", shareUpdateExclusive)
		}
	}
	if c := want.Fact(catalog.FactIndexComment); c != from(catalog.FactIndexComment) {
		set(catalog.FactIndexComment, "COMMENT ON INDEX "+name(k)+" IS "+commentText(c), shareUpdateExclusive)
	}
	if t := want.Fact(catalog.FactTablespace); t != from(catalog.FactTablespace) {
		set(catalog.FactTablespace, "ALTER INDEX "+name(k)+" SET TABLESPACE "+orDefault(t, "pg_default"), accessExclusive,
			Hazard{LongLock, "the index is copied under ACCESS EXCLUSIVE"})
	}
	if c := want.Fact(catalog.FactClustered); c != from(catalog.FactClustered) {
		if c != "" {
			set(catalog.FactClustered, "ALTER TABLE "+table(k)+" CLUSTER ON "+pg.Ident(k.Name), shareUpdateExclusive)
		} else {
			set(catalog.FactClustered, "ALTER TABLE "+table(k)+" SET WITHOUT CLUSTER", shareUpdateExclusive)
			out[len(out)-1].rank.part = 0 // before another index is marked
		}
	}
	for _, column := range prefixed(live, want, catalog.PrefixStatTarget) {
		if fact := catalog.PrefixStatTarget + column; from(fact) != want.Fact(fact) {
			set(fact, "ALTER INDEX "+name(k)+" ALTER COLUMN "+column+" SET STATISTICS "+orDefault(want.Fact(fact), "DEFAULT"), shareUpdateExclusive)
		}
	}
	return out
}

// prefixed are the rests of the fact names of either side that begin with the prefix, sorted; live may be nil.
func prefixed(live, want *catalog.Object, prefix string) []string {
	var out []string
	for _, o := range []*catalog.Object{want, live} {
		if o == nil {
			continue
		}
		for _, f := range o.Facts {
			if rest, ok := strings.CutPrefix(f.Name, prefix); ok && !contains(out, rest) {
				out = append(out, rest)
			}
		}
	}
	return out
}

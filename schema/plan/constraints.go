package plan

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

const notValid = " NOT VALID"

// enforcement is what ALTER CONSTRAINT can change of a foreign key, as it stands behind the rest of the definition.
var enforcement = regexp.MustCompile(`( DEFERRABLE)?( INITIALLY DEFERRED)?( NOT ENFORCED)?( NOT VALID)?$`)

// constraintAlters reports whether the difference of two constraints of one name can be removed in place.
func constraintAlters(live, want *catalog.Object) bool {
	was, is := live.Fact(catalog.FactDefinition), want.Fact(catalog.FactDefinition)
	switch {
	case was == is:
		return want.Fact(catalog.FactValid) == ""
	case was == is+notValid:
		return true
	case want.Fact(catalog.FactConstraintType) == "n":
		a, b := strings.TrimSuffix(was, notValid), strings.TrimSuffix(is, notValid)
		return !strings.HasSuffix(is, notValid) && strings.TrimSuffix(a, " NO INHERIT") == strings.TrimSuffix(b, " NO INHERIT")
	case want.Fact(catalog.FactConstraintType) != "f" || strings.HasSuffix(is, notValid):
		return false
	}
	return enforcement.ReplaceAllString(was, "") == enforcement.ReplaceAllString(is, "")
}

// alterConstraint validates, or changes when and whether a foreign key is checked.
func (b *builder) alterConstraint(k catalog.Key, live, want *catalog.Object) {
	was, is := live.Fact(catalog.FactDefinition), want.Fact(catalog.FactDefinition)
	b.keyProperties(k, live, want, false)
	if b.differsIn(k.Owner(), catalog.FactInherits) {
		b.cover(k, catalog.FactInherited)
	}
	if was == is && live.Fact(catalog.FactValid) == want.Fact(catalog.FactValid) {
		return
	}
	reason := b.describeAll(k, catalog.FactDefinition, catalog.FactValid)
	b.cover(k, catalog.FactDefinition, catalog.FactValid)
	var changed *step
	plainly := func(s string) string { return strings.TrimSuffix(s, notValid) }
	if plainly(was) != plainly(is) {
		action := "INHERIT"
		switch {
		case want.Fact(catalog.FactConstraintType) == "f":
			action = strings.Join(enforcementClauses(was, is), " ")
		case strings.HasSuffix(is, " NO INHERIT"):
			action = "NO INHERIT"
		}
		changed = b.add(alters, k, Statement{SQL: "ALTER TABLE " + table(k) + " ALTER CONSTRAINT " + pg.Ident(k.Name) + " " + action,
			Reason: reason, Lock: on(accessExclusive, tableWords(k))})
		if strings.Contains(was, " NOT ENFORCED") && !strings.Contains(is, " NOT ENFORCED") {
			changed.Hazards = []Hazard{{LongLock, "the rows of " + tableWords(k) + " are checked under the lock (" + size(b.liveObject(k.Owner())) + ")"}}
			return
		}
	}
	if live.Fact(catalog.FactValid) != "" && want.Fact(catalog.FactValid) == "" && !strings.Contains(is, " NOT ENFORCED") {
		v := b.validate(k, want, alters)
		if changed != nil {
			v.needs(changed)
		}
	}
}

func enforcementClauses(was, is string) []string {
	has := func(s, word string) bool { return strings.Contains(enforcement.FindString(s), word) }
	var out []string
	if has(was, " DEFERRABLE") != has(is, " DEFERRABLE") || has(was, "DEFERRED") != has(is, "DEFERRED") {
		switch {
		case !has(is, " DEFERRABLE"):
			out = append(out, "NOT DEFERRABLE")
		case has(is, "DEFERRED"):
			out = append(out, "DEFERRABLE INITIALLY DEFERRED")
		default:
			out = append(out, "DEFERRABLE INITIALLY IMMEDIATE")
		}
	}
	if has(was, "NOT ENFORCED") != has(is, "NOT ENFORCED") {
		out = append(out, map[bool]string{true: "NOT ENFORCED", false: "ENFORCED"}[has(is, "NOT ENFORCED")])
	}
	return out
}

// addConstraint adds a constraint to a table that is there, or that was just created without it.
func (b *builder) addConstraint(k catalog.Key, want *catalog.Object) {
	b.cover(k)
	if b.withColumn(want) {
		return // comes with its column
	}
	if want.Fact(catalog.FactInherited) == inheritedOnly {
		return // comes with the parent's
	}
	fresh := b.ownerFate(b.want, k) == create
	switch want.Fact(catalog.FactConstraintType) {
	case "p", "u", "x":
		b.addKey(k, want, fresh)
	default:
		b.addCheck(k, want, fresh)
	}
	b.keyProperties(k, nil, want, fresh)
	b.comment(k)
}

// addCheck adds a CHECK, FOREIGN KEY or NOT NULL without looking at the rows that are there, then validates it
// in a transaction of its own, under a lock that lets everybody read and write.
func (b *builder) addCheck(k catalog.Key, want *catalog.Object, fresh bool) {
	definition := want.Fact(catalog.FactDefinition)
	plain := strings.TrimSuffix(definition, notValid)
	online := !fresh && !strings.Contains(definition, " NOT ENFORCED")
	s := Statement{SQL: "ALTER TABLE " + table(k) + " ADD CONSTRAINT " + pg.Ident(k.Name) + " " + definition, Reason: b.whyMake(k)}
	if online {
		s.SQL = "ALTER TABLE " + table(k) + " ADD CONSTRAINT " + pg.Ident(k.Name) + " " + plain + notValid
	}
	s.Lock = b.checkLock(k, want, fresh)
	if !fresh && !strings.Contains(definition, " NOT ENFORCED") && (b.fates[k] == create || b.differsIn(k, catalog.FactDefinition)) {
		s.Hazards = []Hazard{{BreaksCode, "writes that violate it fail from now on"}}
	}
	added := b.add(makes, k, s)
	if b.fates[k] == recreate {
		tie(append([]*step{added}, b.actions(k).gone...)...)
	}
	if online && definition == plain {
		b.validate(k, want, makes).needs(added)
	}
}

// refersTo reports whether a foreign key points at the column, rather than from it. Such a column does not take it along.
func refersTo(con *catalog.Object, column catalog.Key) bool {
	own, _, ok := strings.Cut(con.Fact(catalog.FactDefinition), " REFERENCES ")
	if !ok || con.Fact(catalog.FactConstraintType) != "f" {
		return false
	}
	for _, c := range splitList(strings.TrimSuffix(strings.TrimPrefix(own, "FOREIGN KEY ("), ")")) {
		if name, _ := scanIdent(strings.TrimPrefix(c, "PERIOD ")); name == column.Name {
			return false
		}
	}
	return true
}

// checkLock: a foreign key locks both tables, less strongly than the others lock one.
func (b *builder) checkLock(k catalog.Key, want *catalog.Object, fresh bool) string {
	if want.Fact(catalog.FactConstraintType) != "f" {
		if fresh {
			return ""
		}
		return on(accessExclusive, tableWords(k))
	}
	var tables []string
	if !fresh {
		tables = append(tables, tableWords(k))
	}
	if ref := b.referenced(want); ref != nil && b.fates[*ref] != create && !contains(tables, ref.Schema+"."+ref.Name) {
		tables = append(tables, ref.Schema+"."+ref.Name)
	}
	if len(tables) == 0 {
		return ""
	}
	return on(shareRowExclusive, strings.Join(tables, ", "))
}

// validate checks the rows that are there; r says whether it completes a new constraint or alters an old one.
func (b *builder) validate(k catalog.Key, want *catalog.Object, r role) *step {
	s := Statement{SQL: "ALTER TABLE " + table(k) + " VALIDATE CONSTRAINT " + pg.Ident(k.Name), Lock: on(shareUpdateExclusive, tableWords(k)),
		Reason: "checks the rows that are there while others read and write (" + size(b.liveObject(k.Owner())) + ")"}
	if want.Fact(catalog.FactConstraintType) == "f" {
		if ref := b.referenced(want); ref != nil {
			s.Lock += ", ROW SHARE on " + ref.Schema + "." + ref.Name
		}
	}
	v := b.add(r, k, s)
	v.mode = alone
	return v
}

func (b *builder) dropConstraint(k catalog.Key, live *catalog.Object) {
	b.cover(k)
	if live.Fact(catalog.FactInherited) == inheritedOnly {
		return // goes with the parent's
	}
	kind := live.Fact(catalog.FactConstraintType)
	s := Statement{SQL: "ALTER TABLE " + table(k) + " DROP CONSTRAINT " + pg.Ident(k.Name), Reason: b.why(k), Lock: on(accessExclusive, tableWords(k))}
	if ref := b.referenced(live); kind == "f" && ref != nil {
		s.Lock += ", " + ref.Schema + "." + ref.Name
	}
	if b.fates[k] == drop {
		s.Hazards = []Hazard{{BreaksCode, map[bool]string{
			true:  "ON CONFLICT, foreign keys and upserts that rely on it fail afterwards, and duplicates are let in",
			false: "rows that it refuses today are let in",
		}[strings.Contains("pux", kind)]}}
	}
	out := b.add(drops, k, s)
	if kind != "n" {
		return
	}
	for _, other := range b.liveBy.of(k.Owner(), catalog.Constraint) { // a primary key holds on to its columns' NOT NULL
		if other.Fact(catalog.FactConstraintType) == "p" && b.goes(other.Key) {
			b.afterGone = append(b.afterGone, lateNeed{out, other.Key})
		}
	}
}

// key is a primary key or unique constraint taken apart.
type key struct {
	primary, nullsNotDistinct, plain bool   // plain: a unique B-tree can be built for it beforehand
	columns                          string // with INCLUDE
	tail                             string // DEFERRABLE …
}

var keyDefinition = regexp.MustCompile(`^(PRIMARY KEY|UNIQUE)( NULLS NOT DISTINCT)? (\(.*\))((?: DEFERRABLE)?(?: INITIALLY DEFERRED)?)$`)

func scanKey(definition string) key {
	m := keyDefinition.FindStringSubmatch(definition)
	if m == nil || strings.Contains(m[3], " WITHOUT OVERLAPS") {
		return key{}
	}
	return key{primary: m[1] == "PRIMARY KEY", nullsNotDistinct: m[2] != "", columns: m[3], tail: m[4], plain: true}
}

// index is the unique index that the constraint needs.
func (x key) index(name string, t catalog.Key) index {
	rest := "USING btree " + x.columns
	if x.nullsNotDistinct {
		rest += " NULLS NOT DISTINCT"
	}
	return index{unique: true, name: name, schema: t.Schema, table: t.Table, rest: rest}
}

// The names of what stands in for an index while its successor is built.
const (
	newSuffix = "_pgtender_new"
	oldSuffix = "_pgtender_old"
)

func suffixed(name, suffix string) string {
	for len(name)+len(suffix) > pg.MaxNameBytes {
		name = strings.ToValidUTF8(name[:len(name)-1], "")
	}
	return name + suffix
}

// successor is the unique index that a key on a plain table with rows takes over; false where it cannot be built
// beforehand. A key that replaces another one of the same name needs an index under a name of our own.
func (b *builder) successor(k catalog.Key) (index, bool) {
	want, owner := b.wantObject(k), b.liveObject(k.Owner())
	if want == nil || owner == nil || owner.Fact(catalog.FactPartitionKey) != "" {
		return index{}, false
	}
	x := scanKey(want.Fact(catalog.FactDefinition))
	if !x.plain {
		return index{}, false
	}
	if b.liveObject(k) != nil {
		return x.index(suffixed(k.Name, newSuffix), k), true
	}
	return x.index(k.Name, k), true
}

// adoptIndexes finds unique indexes that a declared key can take over: one made by hand, or left by a run that was killed.
func (b *builder) adoptIndexes() {
	for _, k := range b.keys() {
		d := b.diffs[k]
		if k.Kind != catalog.Constraint || d == nil || d.Change == catalog.Extra || b.isRenamed(k) {
			continue
		}
		x, ok := b.successor(k)
		if !ok {
			continue
		}
		standing := catalog.Key{Kind: catalog.Index, Schema: k.Schema, Table: k.Table, Name: x.name}
		live := b.liveObject(standing)
		if live == nil || b.wantObject(standing) != nil || live.Fact(catalog.FactValid) != "" {
			continue
		}
		if have, ok := scanIndex(live.Fact(catalog.FactDefinition)); ok && have == x {
			b.adopted[standing] = k
			b.cover(standing)
		}
	}
}

// addKey adds a primary key, unique or exclusion constraint. On a plain table with rows its index is built
// concurrently first, which proves that there are no duplicates; what cannot be built so is a hazard.
func (b *builder) addKey(k catalog.Key, want *catalog.Object, fresh bool) {
	definition := want.Fact(catalog.FactDefinition)
	add := "ALTER TABLE " + table(k) + " ADD CONSTRAINT " + pg.Ident(k.Name) + " "
	owner := b.liveObject(k.Owner())
	lock := on(accessExclusive, tableWords(k))
	x, ok := b.successor(k)
	if fresh || !ok {
		s := Statement{SQL: add + definition, Reason: b.whyMake(k)}
		if !fresh {
			s.Lock = lock
			if owner.Fact(catalog.FactPartitionKey) == "" || len(b.children[k.Owner()]) > 0 {
				s.Hazards = []Hazard{{LongLock, "its index is built under ACCESS EXCLUSIVE; nobody reads or writes " + tableWords(k) + " meanwhile (" + size(owner) + ")"}}
			}
		}
		added := b.add(makes, k, s)
		b.afterNotNulls(k, want, added)
		b.afterOldKey(k, added, nil)
		if b.fates[k] == recreate {
			tie(append([]*step{added}, b.actions(k).gone...)...)
		}
		return
	}
	parts := scanKey(definition)
	s := Statement{SQL: add + map[bool]string{true: "PRIMARY KEY", false: "UNIQUE"}[parts.primary] + " USING INDEX " + pg.Ident(x.name) + parts.tail,
		Reason: b.why(k) + "; takes an index that is there and fits", Lock: lock}
	var built *step
	if b.adopted[catalog.Key{Kind: catalog.Index, Schema: k.Schema, Table: k.Table, Name: x.name}] != k {
		built = b.add(makes, k, concurrentIndex(x, b.why(k), tableWords(k)))
		built.mode = outside
		s.Reason = "takes the index just built"
	}
	taken := b.add(makes, k, s)
	b.afterNotNulls(k, want, taken)
	if built != nil {
		taken.needs(built)
		tie(built, taken)
	}
	b.afterOldKey(k, taken, built)
	b.online[k] = true
	for _, gone := range b.actions(k).gone {
		taken.needs(gone)
		tie(taken, gone)
		if built != nil {
			gone.needs(built)
		}
	}
}

// afterOldKey puts a primary key behind the dropping of the one that the table has under another name, which waits for the
// new one's index where that is built beforehand.
func (b *builder) afterOldKey(k catalog.Key, added, built *step) {
	if b.wantObject(k).Fact(catalog.FactConstraintType) != "p" {
		return
	}
	for _, old := range b.liveBy.of(k.Owner(), catalog.Constraint) {
		if old.Fact(catalog.FactConstraintType) != "p" || old.Key == k || !b.goes(old.Key) {
			continue
		}
		b.afterGone = append(b.afterGone, lateNeed{added, old.Key})
		if _, vanishes := b.vanishes[old.Key]; built != nil && !vanishes {
			b.lateBefore = append(b.lateBefore, lateNeed{built, old.Key})
		}
	}
}

// afterNotNulls puts a primary key behind the NOT NULL of its columns, which it would otherwise check under its lock.
func (b *builder) afterNotNulls(k catalog.Key, want *catalog.Object, s *step) {
	if want.Fact(catalog.FactConstraintType) != "p" {
		return
	}
	for _, n := range notNulls(b.wantBy, k.Owner()) {
		column, _, _ := notNullColumn(n.Fact(catalog.FactDefinition))
		if slices.ContainsFunc(want.Needs, func(need catalog.Key) bool { return need.Kind == catalog.Column && need.Name == column }) {
			b.lateNeeds = append(b.lateNeeds, lateNeed{s, n.Key})
		}
	}
}

// keyProperties sets what belongs to the index of a key: storage parameters, tablespace, CLUSTER ON.
func (b *builder) keyProperties(k catalog.Key, live, want *catalog.Object, fresh bool) {
	made := b.actions(k).make
	for _, s := range b.indexProperties(k, live, want, fresh) {
		s.needs(made...)
	}
}

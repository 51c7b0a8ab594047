package plan

import (
	"slices"
	"strings"

	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// alterColumn plans each property that differs, or takes a default away and back for what it depends on.
func (b *builder) alterColumn(k catalog.Key, live, want *catalog.Object) {
	if b.diffs[k] != nil {
		b.inheritedDeltas(k)
	}
	switch {
	case b.swapped[k] != catalog.Key{}, b.retyped(k) && !b.done(k, catalog.FactType, catalog.FactCollation):
		b.changeType(k, live, want)
	case b.columnDeps[k]:
		b.suspendDefault(k, live, want)
	}
	if d, ok := b.delta(k, catalog.FactExpression); ok && want.Fact(catalog.FactGenerated) != "" && !b.done(k, d.Name) {
		b.setExpression(k, want, d)
	}
	var freed *step
	if b.differsIn(k, catalog.FactGenerated) { // a stored column becomes a plain one
		freed = b.dropExpression(k, b.describeAll(k, catalog.FactGenerated))
	}
	if d, ok := b.delta(k, catalog.FactDefault); ok && !b.done(k, d.Name) {
		s := b.setDefault(k, live, want, describe(d))
		if s != nil && freed != nil {
			s.needs(freed)
		}
		b.cover(k, d.Name)
	}
	b.alterIdentity(k, live, want)
	b.columnProperties(k, live, want, nil)
	if b.differsIn(k, catalog.FactNotNull) && b.hasNotNullChange(k) {
		b.cover(k, catalog.FactNotNull)
	}
}

// done reports whether all of the facts that differ are taken care of.
func (b *builder) done(k catalog.Key, facts ...string) bool {
	for _, f := range facts {
		if _, ok := b.delta(k, f); ok && !b.covered[cover{k, f}] {
			return false
		}
	}
	return true
}

// hasNotNullChange reports whether the column's NOT NULL constraint comes or goes by a step of its own.
func (b *builder) hasNotNullChange(k catalog.Key) bool {
	was, is := notNulls(b.liveBy, k.Owner())[k.Name], notNulls(b.wantBy, k.Owner())[k.Name]
	return (was == nil) != (is == nil)
}

// inheritedDeltas covers what comes to an INHERITS child from the same change of its parent.
func (b *builder) inheritedDeltas(k catalog.Key) {
	owner := b.wantObject(k.Owner())
	if owner == nil {
		return
	}
	for _, parent := range splitList(owner.Fact(catalog.FactInherits)) {
		parts, _ := scanName(parent)
		if len(parts) != 2 {
			continue
		}
		up := catalog.Key{Kind: k.Kind, Schema: parts[0], Table: parts[1], Name: k.Name}
		for _, d := range b.diffs[k].Deltas {
			if other, ok := b.delta(up, d.Name); ok && other == d {
				b.cover(k, d.Name)
			}
		}
	}
	if b.differsIn(k.Owner(), catalog.FactInherits) {
		b.cover(k, catalog.FactInherited)
	}
}

// changeType changes type and collation, with the default out of the way, since it is converted in another manner.
func (b *builder) changeType(k catalog.Key, live, want *catalog.Object) {
	owner := b.liveObject(k.Owner())
	for _, column := range partitionColumns(owner) {
		if column == k.Name {
			b.refuse(k, b.describeAll(k, catalog.FactType, catalog.FactCollation)+", and it is in the partition key of "+owner.Key.String(),
				"make a new table under another name and move the rows; PostgreSQL cannot change the type of a partition key")
			return
		}
	}
	b.cover(k, catalog.FactType, catalog.FactCollation)
	effect := b.judge(live, want)
	if want.Notes.Using != "" && live.Fact(catalog.FactGenerated) == "" {
		effect = declaredUsing(live, want)
	}
	c := &columnChange{key: k, draft: b.draft(), role: alters, disrupts: true, rewrites: effect.rewrites, joins: b.computes(k),
		reason: b.describeAll(k, catalog.FactType, catalog.FactCollation)}
	if effect.loss != "" {
		c.hazards = append(c.hazards, Hazard{DataLoss, effect.loss})
	}
	if effect.breaks != "" {
		c.hazards = append(c.hazards, Hazard{BreaksCode, effect.breaks})
	}
	if enum, ok := b.swapped[k]; ok {
		c.reason, c.hazards = "for the new labels of "+enum.String(), nil
		c.then = func(s *step) { b.swaps[enum] = append(b.swaps[enum], s) }
		effect.using = pg.Ident(k.Name) + "::text" + parseType(want.Fact(catalog.FactType)).array + "::" + want.Fact(catalog.FactType)
		c.rewrites = true
	}
	if !c.rewrites {
		c.hazards = append(c.hazards, b.rebuilds(k, live, want)...)
	}
	typ := want.Fact(catalog.FactType)
	if coll := want.Fact(catalog.FactCollation); coll != "" {
		typ += " COLLATE " + coll
	}
	col := &schema.Column{Name: atlasName(k.Name), Type: &schema.ColumnType{Type: &postgres.UserDefinedType{T: typ}}}
	retype := &schema.ModifyColumn{From: col, To: col, Change: schema.ChangeType}
	if effect.using != "" {
		retype.Extra = append(retype.Extra, &postgres.ConvertUsing{X: effect.using})
	}
	if live.Fact(catalog.FactDefault) != "" {
		c.changes = append(c.changes, defaultChange(k, ""))
	}
	c.changes = append(c.changes, retype)
	if want.Fact(catalog.FactDefault) != "" {
		c.changes = append(c.changes, defaultChange(k, want.Fact(catalog.FactDefault)))
	}
	if d, ok := b.delta(k, catalog.FactDefault); ok {
		c.reason += "; " + describe(d)
		c.hazards = append(c.hazards, losesDefault(live, want)...)
		b.cover(k, catalog.FactDefault)
	}
	b.change(c)
}

// rebuilds is the hazard of what the server does under the lock though it writes no row: it checks constraints again, and builds those indexes
// anew whose order may change or whose expressions it does not compare. Source: CheckIndexCompatible in commands/indexcmds.c.
func (b *builder) rebuilds(k catalog.Key, live, want *catalog.Object) []Hazard {
	reordered := live.Fact(catalog.FactCollation) != want.Fact(catalog.FactCollation) ||
		isTime(parseType(want.Fact(catalog.FactType)).base) && parseType(live.Fact(catalog.FactType)).base != parseType(want.Fact(catalog.FactType)).base
	var what []string
	for _, d := range b.dependents[k] {
		o := b.liveObject(d)
		makesRoom := b.fates[d] == recreate && d.Kind == catalog.Index && b.because[d] == catalog.Key{} // stands until its successor is built
		if d.Schema != k.Schema || d.Table != k.Table || b.goes(d) && !makesRoom {
			continue
		}
		switch kind := o.Fact(catalog.FactConstraintType); {
		case d.Kind == catalog.Index && (reordered || computesIndex(o)),
			d.Kind == catalog.Constraint && (kind == "c" || reordered && strings.Contains("puxf", kind)):
			what = append(what, string(d.Kind)+" "+d.Name)
		}
	}
	if len(what) == 0 {
		return nil
	}
	return []Hazard{{LongLock, "no row is written, but all are read under ACCESS EXCLUSIVE, to build anew or to check " + strings.Join(what, ", ") +
		" (" + size(b.liveObject(k.Owner())) + ")"}}
}

// computesIndex reports whether an index has an expression or a predicate.
func computesIndex(o *catalog.Object) bool {
	x, _ := scanIndex(o.Fact(catalog.FactDefinition))
	_, rest, _ := strings.Cut(x.rest, " (")
	depth := 1
	for i := 0; i < len(rest) && depth > 0; i++ {
		switch rest[i] {
		case '\'', '"':
			i = closing(rest, i, rest[i] == '\'' && i > 0 && rest[i-1] == 'E')
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return strings.Contains(rest[i:], " WHERE ") || slices.ContainsFunc(splitList(rest[:i]), func(element string) bool {
					_, tail := scanIdent(element)
					return strings.HasPrefix(tail, "(") || strings.HasPrefix(element, "(")
				})
			}
		}
	}
	return true
}

// computes reports whether a generated column is made anew because this one changes its type. Both changes then
// stand in one statement, in which the server does what has to be done in the right order.
func (b *builder) computes(k catalog.Key) bool {
	for _, d := range b.dependents[k] {
		if d.Kind == catalog.Column && d.Table == k.Table && d.Schema == k.Schema && b.fates[d] == recreate {
			return true
		}
	}
	return false
}

// suspendDefault takes a default away while the function that it calls is made anew.
func (b *builder) suspendDefault(k catalog.Key, live, want *catalog.Object) {
	without := *want
	without.Facts = nil
	off := b.setDefault(k, live, &without, b.why(k))
	a := b.actions(k)
	a.alter = a.alter[:len(a.alter)-1] // it needs nothing of what is declared
	on := b.setDefault(k, nil, want, "the default again")
	on.needs(off)
	tie(off, on)
	b.lateBefore = append(b.lateBefore, lateNeed{off, b.because[k]})
	b.cover(k, catalog.FactDefault)
}

// setExpression changes a generated column's expression in place: PostgreSQL 17 and later, VIRTUAL in 18.
func (b *builder) setExpression(k catalog.Key, want *catalog.Object, d catalog.Delta) {
	s := Statement{SQL: "ALTER TABLE " + table(k) + " ALTER COLUMN " + pg.Ident(k.Name) + " SET EXPRESSION AS (" + unwrap(d.Declared) + ")",
		Reason: describe(d), Lock: on(accessExclusive, tableWords(k))}
	if want.Fact(catalog.FactGenerated) == "stored" {
		s.Hazards = []Hazard{{Rewrite, "table " + tableWords(k) + " is written again whole under ACCESS EXCLUSIVE; nobody reads or writes it meanwhile (" +
			size(b.liveObject(k.Owner())) + ")"}}
	}
	b.add(alters, k, s)
	b.cover(k, d.Name)
}

// dropsExpression: a stored column becomes a plain one in place and keeps its values.
func dropsExpression(live, want *catalog.Object) bool {
	return live.Fact(catalog.FactGenerated) == "stored" && want.Fact(catalog.FactGenerated) == ""
}

func (b *builder) dropExpression(k catalog.Key, reason string) *step {
	col := bareColumn(k)
	b.cover(k, catalog.FactGenerated, catalog.FactExpression)
	return b.change(&columnChange{key: k, draft: b.draft(), role: alters, reason: reason,
		hazards: []Hazard{{BreaksCode, "the column is not computed any more: inserts must give a value"}},
		changes: []schema.Change{&schema.ModifyColumn{From: col, To: col, Change: schema.ChangeGenerated}}})
}

// alterIdentity adds, changes or drops IDENTITY. A new one starts behind the values that are there.
func (b *builder) alterIdentity(k catalog.Key, live, want *catalog.Object) {
	column := "ALTER TABLE " + table(k) + " ALTER COLUMN " + pg.Ident(k.Name) + " "
	lock := on(accessExclusive, tableWords(k))
	was, is := live.Fact(catalog.FactIdentity), want.Fact(catalog.FactIdentity)
	reason := b.describeAll(k, catalog.FactIdentity)
	switch {
	case was == "" && is != "":
		added := b.add(alters, k, Statement{SQL: column + "ADD GENERATED " + strings.ToUpper(is) + " AS IDENTITY" + identityOptions(want), Reason: reason, Lock: lock,
			Hazards: refusesValues(is)})
		added.claims = true
		b.needNotNull(k, added)
		b.lateNeeds = append(b.lateNeeds, lateNeed{added, k}) // the type comes first
		sequence := orDefault(want.Fact(catalog.FactSequenceName), pg.Ident(k.Schema)+"."+pg.Ident(catalog.DefaultName(k.Table, k.Name, "seq")))
		b.carryPosition(k, k, sequence, want.Fact(catalog.FactSequence), added).claims = true
		b.cover(k, catalog.FactIdentity, catalog.FactSequence, catalog.FactSequenceName)
	case was != "" && is == "":
		s := Statement{SQL: column + "DROP IDENTITY", Reason: reason, Lock: lock}
		if !b.becomesSerial(want) {
			s.Hazards = []Hazard{{DataLoss, "the position of its sequence is gone"}, {BreaksCode, "inserts that do not name the column get no value any more"}}
		}
		b.add(alters, k, s).frees = true
		b.cover(k, catalog.FactIdentity, catalog.FactSequence, catalog.FactSequenceName)
	case is != "":
		b.alterIdentityOptions(k, live, want, column, lock)
	}
}

func (b *builder) alterIdentityOptions(k catalog.Key, live, want *catalog.Object, column, lock string) {
	var actions []string
	var hazards []Hazard
	if d, ok := b.delta(k, catalog.FactIdentity); ok {
		actions = append(actions, "SET GENERATED "+strings.ToUpper(d.Declared))
		hazards = refusesValues(d.Declared)
		b.cover(k, d.Name)
	}
	if d, ok := b.delta(k, catalog.FactSequence); ok {
		for _, clause := range changedClauses(retypedSequence(d.Live, sequenceType(d.Declared)), d.Declared) {
			actions = append(actions, "SET "+clause)
		}
		hazards = append(hazards, narrower(retypedSequence(d.Live, sequenceType(d.Declared)), d.Declared)...)
		b.cover(k, d.Name)
	}
	if len(actions) > 0 {
		b.add(alters, k, Statement{SQL: column + strings.Join(actions, " "), Lock: lock, Hazards: hazards,
			Reason: b.describeAll(k, catalog.FactIdentity, catalog.FactSequence)}).rank.part = 2 // behind a change of type
	}
	if d, ok := b.delta(k, catalog.FactSequenceName); ok {
		chosen := pg.Ident(k.Schema) + "." + pg.Ident(catalog.DefaultName(k.Table, k.Name, "seq"))
		from, to := orDefault(d.Live, chosen), orDefault(d.Declared, chosen)
		target, _ := scanName(to)
		b.add(alters, k, Statement{SQL: "ALTER SEQUENCE " + from + " RENAME TO " + pg.Ident(target[len(target)-1]), Reason: describe(d),
			Lock: on(accessExclusive, "sequence "+from)})
		b.cover(k, d.Name)
	}
}

// refusesValues is the hazard of an identity that becomes ALWAYS.
func refusesValues(identity string) []Hazard {
	if identity != "always" {
		return nil
	}
	return []Hazard{{BreaksCode, "inserts that give the column a value fail afterwards, unless they say OVERRIDING SYSTEM VALUE"}}
}

// retypedSequence is what a change of the column's type makes of its sequence's options.
func retypedSequence(options, typ string) string {
	values := sequenceValues(options)
	old, changed := defaultValues(values[0], values[2]), defaultValues(typ, values[2])
	for i := 3; i <= 4; i++ {
		if values[i] == old[i] {
			values[i] = changed[i]
		}
	}
	values[0] = typ
	var out []string
	for i, word := range sequenceWords {
		if word == "CYCLE" {
			word, values[i] = values[i]+"CYCLE", ""
		}
		out = append(out, word+values[i])
	}
	return strings.Join(out, " ")
}

// needNotNull puts a step behind the column's NOT NULL constraint, and all else that alters the column.
func (b *builder) needNotNull(k catalog.Key, s *step) {
	if con := notNulls(b.wantBy, k.Owner())[k.Name]; con != nil {
		b.lateNeeds = append(b.lateNeeds, lateNeed{s, con.Key})
	}
}

// carryPosition lets a column's new sequence go on behind the largest value that is there.
func (b *builder) carryPosition(object, column catalog.Key, sequence, options string, made *step) *step {
	edge := "max"
	if strings.HasPrefix(sequenceValues(options)[2], "-") {
		edge = "min"
	}
	edge += "(" + pg.Ident(column.Name) + ")"
	s := b.add(alters, object, Statement{
		SQL:    "SELECT setval(" + strings.TrimSpace(pg.Literal(sequence)) + "::regclass, " + edge + ") FROM " + table(column) + " HAVING " + edge + " IS NOT NULL",
		Reason: "the sequence goes on behind the values that are there", Lock: on("ACCESS SHARE", tableWords(column))})
	s.needs(made)
	tie(made, s)
	return s
}

// becomesSerial reports whether a column that is an identity gets a sequence of its own by its default.
func (b *builder) becomesSerial(want *catalog.Object) bool {
	live := b.liveObject(want.Key)
	if live == nil || live.Fact(catalog.FactIdentity) == "" || want.Fact(catalog.FactIdentity) != "" {
		return false
	}
	for _, n := range want.Needs {
		if n.Kind == catalog.Sequence && b.fates[n] == create && columnKey(b.wantObject(n).Fact(catalog.FactOwnedBy)) == want.Key {
			return true
		}
	}
	return false
}

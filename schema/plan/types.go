package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

func (b *builder) alterExtension(k catalog.Key, want *catalog.Object) {
	if d, ok := b.delta(k, catalog.FactVersion); ok && d.Declared != "" {
		b.add(alters, k, Statement{SQL: "ALTER EXTENSION " + name(k) + " UPDATE TO " + strings.TrimSpace(pg.Literal(d.Declared)), Reason: describe(d)})
		b.cover(k, catalog.FactVersion)
	}
	if d, ok := b.delta(k, catalog.FactSchema); ok {
		b.add(alters, k, Statement{SQL: "ALTER EXTENSION " + name(k) + " SET SCHEMA " + pg.Ident(want.Fact(catalog.FactSchema)), Reason: describe(d),
			Hazards: []Hazard{{BreaksCode, "queries that name the extension's objects in schema " + d.Live + " fail afterwards"}}})
		b.cover(k, catalog.FactSchema)
	}
}

// enumGrows reports whether the declared labels are those that are there, in their order, and more.
func enumGrows(live, want *catalog.Object) bool {
	old, at := splitList(live.Fact(catalog.FactLabels)), 0
	for _, label := range splitList(want.Fact(catalog.FactLabels)) {
		if at < len(old) && label == old[at] {
			at++
		}
	}
	return at == len(old)
}

// swapsType reports whether a type that is made anew first makes room under another name: columns have it while they are changed.
func (b *builder) swapsType(k catalog.Key) bool {
	return k.Kind == catalog.Enum || k.Kind == catalog.Composite && slices.ContainsFunc(b.dependents[k], func(d catalog.Key) bool { return d.Kind == catalog.Column })
}

// swapComposite is for one that columns have had until now.
func (b *builder) swapComposite(k catalog.Key, want *catalog.Object) {
	old := suffixed(k.Name, oldSuffix)
	b.roomFor[k] = b.add(alters, k, Statement{SQL: "ALTER TYPE " + name(k) + " RENAME TO " + pg.Ident(old), Reason: b.why(k) + "; it makes room for the new one",
		Lock: on(accessExclusive, k.String())})
	b.createOther(k, want)
	gone := b.add(drops, k, Statement{SQL: "DROP TYPE " + pg.Ident(k.Schema, old), Reason: "nothing has the old type any more", Lock: on(accessExclusive, k.String())})
	gone.rank.drop = 0
}

// swapEnum makes an enum anew that loses labels or orders them otherwise, which PostgreSQL cannot do in place: the old one makes room, columns are
// changed to the new one, and the old one goes.
func (b *builder) swapEnum(k catalog.Key, live, want *catalog.Object) {
	d, _ := b.delta(k, catalog.FactLabels)
	old := suffixed(k.Name, oldSuffix)
	rename := b.add(alters, k, Statement{SQL: "ALTER TYPE " + name(k) + " RENAME TO " + pg.Ident(old), Reason: describe(d) + "; it makes room for the new one"})
	b.roomFor[k] = rename
	b.createOther(k, want)
	made := b.actions(k).make[0]
	labels, declared := splitList(live.Fact(catalog.FactLabels)), splitList(want.Fact(catalog.FactLabels))
	lost := without(labels, declared)
	for _, label := range lost {
		made.Hazards = append(made.Hazards, Hazard{BreaksCode, "label " + label + " is refused from now on; a row that holds it makes the plan fail, and nothing is changed"})
	}
	if !slices.Equal(without(labels, lost), without(declared, without(declared, labels))) {
		made.Hazards = append(made.Hazards, Hazard{BreaksCode, "comparisons and ORDER BY follow the new order of the labels"})
	}
	gone := b.add(drops, k, Statement{SQL: "DROP TYPE " + pg.Ident(k.Schema, old), Reason: "nothing has the old type any more"})
	gone.rank.drop = 0
}

// connectSwaps orders what swapEnum began, and ties it into one transaction.
func (b *builder) connectSwaps() {
	for _, k := range b.keys() {
		rename := b.roomFor[k]
		if !isType(k.Kind) || rename == nil {
			continue
		}
		for _, d := range b.dependents[k] {
			if isRoutine(d.Kind) && b.goes(d) {
				rename.needs(b.goneSteps(d)...) // which name the type as it was
			}
		}
		for _, gone := range b.actions(k).gone {
			gone.needs(b.swaps[k]...)
		}
		tie(append([]*step{rename}, b.swaps[k]...)...)
	}
}

// alterEnum adds labels in place. They are committed before anything else runs, since a new label cannot be used in the
// transaction that adds it.
func (b *builder) alterEnum(k catalog.Key, live, want *catalog.Object) {
	if !b.differsIn(k, catalog.FactLabels) {
		return
	}
	old, declared := splitList(live.Fact(catalog.FactLabels)), splitList(want.Fact(catalog.FactLabels))
	var before *step
	for i, label := range declared {
		if contains(old, label) {
			continue
		}
		sql := "ALTER TYPE " + name(k) + " ADD VALUE " + label
		switch {
		case i == 0:
			sql += " BEFORE " + old[0]
		case len(without(old, declared[:i])) > 0:
			sql += " AFTER " + declared[i-1]
		}
		s := b.add(alters, k, Statement{SQL: sql, Reason: "label " + label + " is declared, but not in the database"})
		s.mode = early
		if before != nil {
			s.needs(before)
		}
		before = s
	}
	b.cover(k, catalog.FactLabels)
}

func createDomain(k catalog.Key, want *catalog.Object) string {
	sql := "CREATE DOMAIN " + name(k) + " AS " + want.Fact(catalog.FactType)
	if c := want.Fact(catalog.FactCollation); c != "" {
		sql += " COLLATE " + c
	}
	if d := want.Fact(catalog.FactDefault); d != "" {
		sql += " DEFAULT " + d
	}
	if n := want.Fact(catalog.FactNotNullName); n != "" {
		sql += " CONSTRAINT " + pg.Ident(n) + " NOT NULL"
	} else if want.Fact(catalog.FactNotNull) != "" {
		sql += " NOT NULL"
	}
	for _, f := range want.Facts {
		if con, ok := strings.CutPrefix(f.Name, catalog.PrefixConstraint); ok && !strings.HasSuffix(f.Value, " NOT VALID") {
			sql += " CONSTRAINT " + pg.Ident(con) + " " + f.Value
		}
	}
	return sql
}

// alterDomain: default, NOT NULL and CHECK constraints. The base type and the collation cannot change.
func (b *builder) alterDomain(k catalog.Key, live, want *catalog.Object) {
	// What looks at the values locks the tables that hold them: PostgreSQL takes SHARE on all of them, and so does VALIDATE.
	users := b.domainTables(k)
	alterTo := func(action, reason string) *step {
		s := Statement{SQL: "ALTER DOMAIN " + name(k) + " " + action, Reason: reason}
		if scans := strings.HasPrefix(action, "VALIDATE") || strings.HasSuffix(action, " NOT NULL") && !strings.HasPrefix(action, "DROP"); scans && len(users) > 0 {
			s.Lock = on(share, strings.Join(users, ", "))
			s.Hazards = []Hazard{{LongLock, "writers wait while these tables are scanned: " + strings.Join(users, ", ")}}
		}
		return b.add(alters, k, s)
	}
	if d, ok := b.delta(k, catalog.FactDefault); ok {
		if d.Declared == "" {
			alterTo("DROP DEFAULT", describe(d))
		} else {
			alterTo("SET DEFAULT "+d.Declared, describe(d))
		}
		b.cover(k, catalog.FactDefault)
	}
	b.alterDomainNotNull(k, live, want, alterTo)
	var last *step
	for _, f := range live.Facts {
		con, ok := strings.CutPrefix(f.Name, catalog.PrefixConstraint)
		d, differs := b.delta(k, f.Name)
		if !ok || !differs {
			continue
		}
		if f.Value == d.Declared+" NOT VALID" {
			v := alterTo("VALIDATE CONSTRAINT "+pg.Ident(con), describe(d))
			v.mode = alone
			b.cover(k, f.Name)
			continue
		}
		last = alterTo("DROP CONSTRAINT "+pg.Ident(con), describe(d))
		last.Hazards = append(last.Hazards, Hazard{BreaksCode, "values that it refuses today are let in"})
		b.cover(k, f.Name)
	}
	for _, f := range want.Facts {
		con, ok := strings.CutPrefix(f.Name, catalog.PrefixConstraint)
		d, differs := b.delta(k, f.Name)
		if !ok || !differs || d.Live == f.Value+" NOT VALID" {
			continue
		}
		b.addDomainConstraint(con, d, last, alterTo)
		b.cover(k, f.Name)
	}
	b.domainConstraintComments(k, live, want)
}

func (b *builder) addDomainConstraint(con string, d catalog.Delta, after *step, alterTo func(string, string) *step) {
	definition, invalid := strings.CutSuffix(d.Declared, " NOT VALID")
	added := alterTo("ADD CONSTRAINT "+pg.Ident(con)+" "+definition+" NOT VALID", describe(d))
	added.Hazards = append(added.Hazards, Hazard{BreaksCode, "values that violate it are refused from now on"})
	if after != nil {
		added.needs(after)
		tie(after, added)
	}
	if !invalid {
		v := alterTo("VALIDATE CONSTRAINT "+pg.Ident(con), "checks the values that are there")
		v.mode = alone
		v.needs(added)
	}
}

// domainTables are the live tables with a column of the domain or of an array of it.
func (b *builder) domainTables(k catalog.Key) []string {
	var out []string
	for _, d := range b.dependents[k] {
		if t := tableWords(d); d.Kind == catalog.Column && !contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func (b *builder) alterDomainNotNull(k catalog.Key, live, want *catalog.Object, alterTo func(string, string) *step) {
	was, is := live.Fact(catalog.FactNotNullName), want.Fact(catalog.FactNotNullName)
	reason := b.describeAll(k, catalog.FactNotNull, catalog.FactNotNullName)
	switch {
	case was == is:
		return
	case is == "":
		s := alterTo("DROP NOT NULL", reason)
		s.Hazards = append(s.Hazards, Hazard{BreaksCode, "values that it refuses today are let in"})
	case was == "":
		s := alterTo("ADD CONSTRAINT "+pg.Ident(is)+" NOT NULL", reason)
		s.Hazards = append(s.Hazards, Hazard{BreaksCode, "values that violate it are refused from now on"})
	default:
		alterTo("RENAME CONSTRAINT "+pg.Ident(was)+" TO "+pg.Ident(is), reason)
	}
	b.cover(k, catalog.FactNotNull, catalog.FactNotNullName)
}

// domainConstraintComments sets the comments of a domain's constraints; live is nil for a new domain.
func (b *builder) domainConstraintComments(k catalog.Key, live, want *catalog.Object) {
	set := func(con, text, reason string) {
		s := b.add(alters, k, Statement{SQL: "COMMENT ON CONSTRAINT " + pg.Ident(con) + " ON DOMAIN " + name(k) + " IS " + commentText(text), Reason: reason})
		for _, earlier := range b.steps {
			if earlier.Object == k {
				s.needs(earlier)
			}
		}
		b.cover(k, catalog.PrefixConstraintComment+con)
	}
	for _, f := range want.Facts {
		con, ok := strings.CutPrefix(f.Name, catalog.PrefixConstraintComment)
		// A constraint that is dropped and added again has lost its comment, even one that does not differ.
		if ok && (live == nil || b.differsIn(k, f.Name, catalog.PrefixConstraint+con)) {
			set(con, f.Value, "the declared comment")
		}
	}
	if live == nil {
		return
	}
	for _, f := range live.Facts {
		con, ok := strings.CutPrefix(f.Name, catalog.PrefixConstraintComment)
		if !ok || want.Fact(f.Name) != "" {
			continue
		}
		b.cover(k, f.Name)
		if want.Fact(catalog.PrefixConstraint+con) != "" {
			set(con, "", "the comment is not declared")
		}
	}
}

func createSequence(k catalog.Key, want *catalog.Object) string {
	sql := "CREATE "
	if want.Fact(catalog.FactPersistence) != "" {
		sql += "UNLOGGED "
	}
	sql += "SEQUENCE " + name(k)
	options := want.Fact(catalog.FactSequence)
	if t := sequenceType(options); t != "bigint" {
		sql += " AS " + t
	}
	if c := sequenceClauses(options, sequenceType(options)); c != "" {
		sql += " " + c
	}
	return sql
}

func (b *builder) alterSequence(k catalog.Key, live, want *catalog.Object) {
	lock := on(shareRowExclusive, k.String())
	if d, ok := b.delta(k, catalog.FactSequence); ok {
		b.add(alters, k, Statement{SQL: "ALTER SEQUENCE " + name(k) + " " + strings.Join(changedClauses(d.Live, d.Declared), " "), Reason: describe(d), Lock: lock,
			Hazards: narrower(d.Live, d.Declared)})
		b.cover(k, catalog.FactSequence)
	}
	if d, ok := b.delta(k, catalog.FactPersistence); ok {
		to := "LOGGED"
		if d.Declared != "" {
			to = "UNLOGGED"
		}
		b.add(alters, k, Statement{SQL: "ALTER SEQUENCE " + name(k) + " SET " + to, Reason: describe(d), Lock: on(accessExclusive, k.String())})
		b.cover(k, catalog.FactPersistence)
	}
	if d, ok := b.delta(k, catalog.FactOwnedBy); ok {
		owner := d.Declared
		if owner == "" {
			owner = "NONE"
		}
		s := b.add(alters, k, Statement{SQL: "ALTER SEQUENCE " + name(k) + " OWNED BY " + owner, Reason: describe(d), Lock: lock})
		b.afterColumn(s, d.Declared)
		s.final = true
		if d.Live != "" {
			b.lateBefore = append(b.lateBefore, lateNeed{s, columnKey(d.Live)})
		}
		b.cover(k, catalog.FactOwnedBy)
	}
}

// afterColumn puts a step behind the making of the column named schema.table.column, as the server writes it.
func (b *builder) afterColumn(s *step, column string) {
	if k := columnKey(column); k.Name != "" {
		b.lateNeeds = append(b.lateNeeds, lateNeed{s, k})
	}
}

func columnKey(qualified string) catalog.Key {
	if parts, _ := scanName(qualified); len(parts) == 3 {
		return catalog.Key{Kind: catalog.Column, Schema: parts[0], Table: parts[1], Name: parts[2]}
	}
	return catalog.Key{}
}

// becomesIdentity reports whether a plain column is declared as an identity.
func (b *builder) becomesIdentity(k catalog.Key) bool {
	live, want := b.liveObject(k), b.wantObject(k)
	return live != nil && want != nil && live.Fact(catalog.FactIdentity) == "" && want.Fact(catalog.FactIdentity) != ""
}

// The options of a sequence as the catalog reading prints them:
// AS bigint START WITH 1 INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 CACHE 1 NO CYCLE.
var sequenceWords = []string{"AS ", "START WITH ", "INCREMENT BY ", "MINVALUE ", "MAXVALUE ", "CACHE ", "CYCLE"}

// sequenceValues takes the options apart, in sequenceWords' order; CYCLE is "" or "NO ".
func sequenceValues(options string) []string {
	out := make([]string, len(sequenceWords))
	rest := options
	for i, word := range sequenceWords {
		before, after, ok := strings.Cut(rest, word)
		if !ok {
			return out
		}
		if i > 0 {
			out[i-1] = strings.TrimSpace(before)
		}
		rest = after
	}
	cache, no := strings.CutSuffix(out[5], " NO")
	out[5], out[6] = cache, ""
	if no {
		out[6] = "NO "
	}
	return out
}

func sequenceType(options string) string { return sequenceValues(options)[0] }

// defaultValues are what CREATE SEQUENCE fills in for a type and a direction.
func defaultValues(typ, increment string) []string {
	highest := map[string]string{"smallint": "32767", "integer": "2147483647", "bigint": "9223372036854775807"}[typ]
	lowest := map[string]string{"smallint": "-32768", "integer": "-2147483648", "bigint": "-9223372036854775808"}[typ]
	if strings.HasPrefix(increment, "-") {
		return []string{typ, "-1", "1", lowest, "-1", "1", "NO "}
	}
	return []string{typ, "1", "1", "1", highest, "1", "NO "}
}

// sequenceClauses are the options that are not the default for the type; the type itself is left out.
func sequenceClauses(options, typ string) string {
	values := sequenceValues(options)
	defaults := defaultValues(typ, values[2])
	defaults[1] = values[3] // START WITH's default is the first value in the direction of counting
	if strings.HasPrefix(values[2], "-") {
		defaults[1] = values[4]
	}
	return strings.Join(clauses(defaults, values), " ")
}

// changedClauses are the options that differ, with the type first.
func changedClauses(live, want string) []string {
	return clauses(sequenceValues(live), sequenceValues(want))
}

func clauses(from, to []string) []string {
	var out []string
	for i, word := range sequenceWords {
		switch {
		case from[i] == to[i]:
		case word == "CYCLE":
			out = append(out, to[i]+"CYCLE")
		default:
			out = append(out, word+to[i])
		}
	}
	return out
}

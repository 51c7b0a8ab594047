package plan

import (
	"fmt"
	"strings"

	"ariga.io/atlas/sql/schema"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// wantParts are the declared parts of a table of one kind: columns in their order, others by name.
func (b *builder) wantParts(t catalog.Key, kind catalog.Kind) []*catalog.Object {
	return b.wantBy.of(t, kind)
}

// parts are the objects of a snapshot by the schema and name of what they belong to.
type parts map[[2]string][]*catalog.Object

func partsOf(s *catalog.Snapshot) parts {
	out := parts{}
	for i := range s.Objects {
		if o := &s.Objects[i]; o.Key.Table != "" {
			out[[2]string{o.Key.Schema, o.Key.Table}] = append(out[[2]string{o.Key.Schema, o.Key.Table}], o)
		}
	}
	return out
}

// of are the parts of one kind.
func (p parts) of(t catalog.Key, kind catalog.Kind) []*catalog.Object {
	var out []*catalog.Object
	for _, o := range p[[2]string{t.Schema, t.Name}] {
		if o.Key.Kind == kind {
			out = append(out, o)
		}
	}
	if kind == catalog.Column {
		sortByPosition(out)
	}
	return out
}

// createTable plans a new table with its columns and all constraints that need nothing made later.
func (b *builder) createTable(k catalog.Key, want *catalog.Object) {
	d := b.draft()
	t := atlasTable(k)
	notNulls := notNulls(b.wantBy, k)
	for _, c := range b.wantParts(k, catalog.Column) {
		b.cover(c.Key)
		if c.Fact(catalog.FactInherited) == inheritedOnly {
			continue
		}
		t.Columns = append(t.Columns, d.atlasColumn(c, b.inlineNotNull(c, notNulls[c.Key.Name]), !b.detached[c.Key]))
	}
	for _, con := range b.inlineConstraints(k) {
		t.Attrs = append(t.Attrs, d.constraint(con.Key.Name, con.Fact(catalog.FactDefinition)))
		b.cover(con.Key)
	}
	sql, err := d.plan(&schema.AddTable{T: t})
	if err != nil {
		b.refuse(k, "atlas could not plan it ("+err.Error()+")", "report this, and create the table by hand")
		return
	}
	s := b.add(makes, k, Statement{SQL: createTail(sql, want), Reason: isMissing, Lock: b.referencedLock(k)})
	b.cover(k)
	b.holdParts(k, s)
	b.createTableExtras(k, want, s)
}

// inheritedOnly marks a column or constraint that a table has only from the tables it inherits.
const inheritedOnly = "true"

// createTail adds what Atlas's table cannot say.
func createTail(sql string, want *catalog.Object) string {
	if want.Fact(catalog.FactPersistence) != "" {
		sql = strings.Replace(sql, "CREATE TABLE", "CREATE UNLOGGED TABLE", 1)
	}
	for _, tail := range [][2]string{
		{" INHERITS (", want.Fact(catalog.FactInherits)}, {" PARTITION BY ", want.Fact(catalog.FactPartitionKey)},
		{" USING ", want.Fact(catalog.FactAccessMethod)}, {" WITH (", optionList(want.Fact(catalog.FactOptions))},
		{" TABLESPACE ", want.Fact(catalog.FactTablespace)},
	} {
		if tail[1] == "" {
			continue
		}
		sql = strings.TrimSpace(sql) + tail[0] + tail[1]
		if strings.HasSuffix(tail[0], "(") {
			sql += ")"
		}
	}
	return strings.TrimSpace(sql)
}

// optionList writes storage parameters as SET (…) takes them.
func optionList(options string) string {
	var out []string
	for _, o := range splitOptions(options) {
		out = append(out, o[0]+"="+strings.TrimSpace(pg.Literal(o[1])))
	}
	return strings.Join(out, ", ")
}

func optionNames(pairs [][2]string) []string {
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p[0]
	}
	return out
}

// notNulls finds the NOT NULL constraint of each column of a table.
func notNulls(p parts, t catalog.Key) map[string]*catalog.Object {
	out := map[string]*catalog.Object{}
	for _, con := range p.of(t, catalog.Constraint) {
		if column, _, ok := notNullColumn(con.Fact(catalog.FactDefinition)); ok && con.Fact(catalog.FactConstraintType) == "n" {
			out[column] = con
		}
	}
	return out
}

// inlineNotNull is the column's NOT NULL clause in CREATE TABLE, with a name where it is not the server's own choice.
func (b *builder) inlineNotNull(c, con *catalog.Object) string {
	switch {
	case con == nil && c.Fact(catalog.FactNotNull) == "":
		return ""
	case con == nil:
		return "NOT NULL"
	case con.Fact(catalog.FactValid) != "" || con.Fact(catalog.FactInherited) == inheritedOnly:
		return ""
	}
	b.cover(con.Key)
	_, suffix, _ := notNullColumn(con.Fact(catalog.FactDefinition))
	chosen := suffix == "" && con.Key.Name == catalog.DefaultName(c.Key.Table, c.Key.Name, "not_null")
	// The server chooses another name where any table of the schema has a constraint of this one: an archive's partitions do.
	if chosen && b.fates[c.Key.Owner()] == create && !b.shared[[2]string{con.Key.Schema, con.Key.Name}] {
		return "NOT NULL"
	}
	return strings.TrimSpace("CONSTRAINT " + pg.Ident(con.Key.Name) + " NOT NULL " + suffix)
}

// inlineConstraints are those that CREATE TABLE itself makes; NOT NULL stands with its column. A partition's or
// parent's constraint comes by itself, and one that is NOT VALID can only be added to a table that is there.
func (b *builder) inlineConstraints(t catalog.Key) []*catalog.Object {
	order := map[string]int{"p": 1, "u": 2, "x": 3, "f": 4, "c": 5}
	var out []*catalog.Object
	for want := 1; want <= len(order); want++ {
		for _, con := range b.wantParts(t, catalog.Constraint) {
			if order[con.Fact(catalog.FactConstraintType)] != want {
				continue
			}
			switch {
			case con.Fact(catalog.FactInherited) == inheritedOnly:
				b.cover(con.Key)
				b.detached[con.Key] = false
			case b.isInline(con):
				out = append(out, con)
			default:
				b.detached[con.Key] = true
			}
		}
	}
	for _, con := range b.wantParts(t, catalog.Constraint) {
		if con.Fact(catalog.FactConstraintType) == "n" && con.Fact(catalog.FactValid) != "" {
			b.detached[con.Key] = true
		} else if con.Fact(catalog.FactInherited) == inheritedOnly {
			b.cover(con.Key)
		}
	}
	return out
}

func (b *builder) isInline(con *catalog.Object) bool {
	definition := con.Fact(catalog.FactDefinition)
	return !b.detached[con.Key] && con.Fact(catalog.FactValid) == "" && !strings.HasSuffix(definition, " NOT VALID")
}

// referencedLock is the lock that a new table's foreign keys and parents take on tables that are there.
func (b *builder) referencedLock(t catalog.Key) string {
	var on []string
	for _, con := range b.inlineConstraintsOf(t, "f") {
		if ref := b.referenced(con); ref != nil && b.fates[*ref] != create && !contains(on, ref.Schema+"."+ref.Name) {
			on = append(on, ref.Schema+"."+ref.Name)
		}
	}
	parents := without(splitList(b.wantObject(t).Fact(catalog.FactInherits)), on)
	switch {
	case len(on) > 0:
		return shareRowExclusive + " on " + strings.Join(on, ", ")
	case len(parents) > 0:
		return shareUpdateExclusive + " on " + strings.Join(parents, ", ")
	}
	return ""
}

func (b *builder) inlineConstraintsOf(t catalog.Key, types string) []*catalog.Object {
	var out []*catalog.Object
	for _, con := range b.wantParts(t, catalog.Constraint) {
		if con.Fact(catalog.FactConstraintType) == types && b.isInline(con) {
			out = append(out, con)
		}
	}
	return out
}

// referenced is the table that a foreign key points at.
func (b *builder) referenced(con *catalog.Object) *catalog.Key {
	_, s, ok := strings.Cut(con.Fact(catalog.FactDefinition), " REFERENCES ")
	if parts, _ := scanName(s); ok && len(parts) == 2 {
		return &catalog.Key{Kind: catalog.Table, Schema: parts[0], Name: parts[1]}
	}
	return nil
}

// holdParts files CREATE TABLE also under the parts that it makes.
func (b *builder) holdParts(t catalog.Key, s *step) {
	for _, c := range b.wantParts(t, catalog.Column) {
		b.actions(c.Key).make = append(b.actions(c.Key).make, s)
	}
	for _, con := range b.wantParts(t, catalog.Constraint) {
		if !b.detached[con.Key] {
			b.actions(con.Key).make = append(b.actions(con.Key).make, s)
		}
	}
}

// createTableExtras: what a new table needs beside CREATE TABLE: defaults left for later, column and key
// properties, row security, comments.
func (b *builder) createTableExtras(k catalog.Key, want *catalog.Object, made *step) {
	for _, c := range b.wantParts(k, catalog.Column) {
		if b.detached[c.Key] {
			b.setDefault(c.Key, nil, c, "set once what it needs is there").needs(made)
		}
		b.columnProperties(c.Key, nil, c, made)
		b.comment(c.Key)
	}
	for _, con := range b.wantParts(k, catalog.Constraint) {
		if !b.detached[con.Key] {
			b.keyProperties(con.Key, nil, con, true)
			b.comment(con.Key)
		}
	}
	b.rowSecurity(k, "", want.Fact(catalog.FactRLS), "declared")
	if r := want.Fact(catalog.FactReplica); r != "" {
		b.replicaIdentity(k, r, "declared")
	}
	for _, s := range b.actions(k).alter {
		s.needs(made)
	}
	if x := want.Fact(catalog.FactDependsOn); x != "" {
		b.dependsOn(k, "", x)
	}
	b.comment(k)
}

// dropTable is planned by Atlas; the table's parts and owned sequences go with it.
func (b *builder) dropTable(k catalog.Key, live *catalog.Object) {
	sql, err := b.draft().plan(&schema.DropTable{T: atlasTable(k)})
	if err != nil {
		b.refuse(k, "atlas could not plan it ("+err.Error()+")", "report this, and drop the table by hand")
		return
	}
	what := "all rows of " + k.String() + " are gone (" + size(live) + ")"
	if n := len(b.children[k]); n > 0 {
		what = "all rows of " + k.String() + " and of its " + count(n, "partition") + " are gone (" + size(live) + ")"
	}
	b.add(drops, k, Statement{SQL: strings.TrimSpace(sql), Reason: b.why(k), Lock: on(accessExclusive, k.Schema+"."+k.Name),
		Hazards: []Hazard{{DataLoss, what}, {BreaksCode, "queries that use " + k.String() + " fail afterwards"}}})
	b.cover(k)
}

func (b *builder) alterTable(k catalog.Key, live, want *catalog.Object) {
	lock := on(accessExclusive, k.Schema+"."+k.Name)
	alterTo := func(action, fact string, hazards ...Hazard) *step {
		b.cover(k, fact)
		return b.add(alters, k, Statement{SQL: "ALTER TABLE " + name(k) + " " + action, Reason: b.describeAll(k, fact), Lock: lock, Hazards: hazards})
	}
	rewritten := Hazard{Rewrite, k.String() + " is written again whole under ACCESS EXCLUSIVE; nobody reads or writes it meanwhile (" + size(live) + ")"}
	if d, ok := b.delta(k, catalog.FactPartitionKey); ok {
		advice := "make a new table under another name, move the rows, then swap the names"
		if d.Live == "" && strings.HasPrefix(d.Declared, "RANGE ") {
			advice = fmt.Sprintf("`pgtender job run partition --table %s` prints how the old table becomes the first partition of a new one, where a partition block names it; otherwise "+advice, pg.Word(k.Schema+"."+k.Name))
		}
		b.refuse(k, describe(d)+", and PostgreSQL cannot change how a table is partitioned", advice)
		return
	}
	if d, ok := b.delta(k, catalog.FactOptions); ok {
		b.options(k, "ALTER TABLE ", d)
	}
	if d, ok := b.delta(k, catalog.FactPersistence); ok {
		to := map[string]string{"": "SET LOGGED", "unlogged": "SET UNLOGGED"}[d.Declared]
		alterTo(to, d.Name, rewritten)
	}
	if d, ok := b.delta(k, catalog.FactAccessMethod); ok {
		alterTo("SET ACCESS METHOD "+orDefault(d.Declared, "heap"), d.Name, rewritten)
	}
	if d, ok := b.delta(k, catalog.FactTablespace); ok {
		alterTo("SET TABLESPACE "+orDefault(d.Declared, "pg_default"), d.Name, rewritten)
	}
	if d, ok := b.delta(k, catalog.FactRLS); ok {
		b.rowSecurity(k, d.Live, d.Declared, describe(d))
		b.cover(k, d.Name)
	}
	if d, ok := b.delta(k, catalog.FactReplica); ok {
		b.replicaIdentity(k, d.Declared, describe(d))
		b.cover(k, d.Name)
	}
	if d, ok := b.delta(k, catalog.FactInherits); ok {
		old, declared := splitList(d.Live), splitList(d.Declared)
		for _, parent := range without(old, declared) {
			alterTo("NO INHERIT "+parent, d.Name)
		}
		for _, parent := range without(declared, old) {
			s := alterTo("INHERIT "+parent, d.Name)
			if parts, _ := scanName(parent); len(parts) == 2 {
				b.lateNeeds = append(b.lateNeeds, lateNeed{s, catalog.TableKey(parts[0], parts[1])})
			}
		}
	}
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// options sets and resets the storage parameters that differ.
func (b *builder) options(k catalog.Key, alterWhat string, d catalog.Delta) {
	old, declared := splitOptions(d.Live), splitOptions(d.Declared)
	s := Statement{Reason: describe(d), Lock: on(shareUpdateExclusive, k.Schema+"."+k.Name)}
	if k.Kind == catalog.View {
		s.Lock = on(accessExclusive, k.String())
		s.Hazards = viewOptionHazards(k, old, declared)
	}
	set := [][2]string{}
	for _, o := range declared {
		if !hasOption(old, o) {
			set = append(set, o)
		}
	}
	var list []string
	for _, o := range set {
		list = append(list, o[0]+"="+strings.TrimSpace(pg.Literal(o[1])))
	}
	if reset := without(optionNames(old), optionNames(declared)); len(reset) > 0 {
		s.SQL = alterWhat + name(k) + " RESET (" + strings.Join(reset, ", ") + ")"
		b.add(alters, k, s)
	}
	if len(list) > 0 {
		s.SQL = alterWhat + name(k) + " SET (" + strings.Join(list, ", ") + ")"
		set := b.add(alters, k, s)
		for _, c := range b.wantParts(k, catalog.Column) { // what is said of a TOAST table is lost while there is none
			b.lateNeeds = append(b.lateNeeds, lateNeed{set, c.Key})
		}
		set.final = true
	}
	b.cover(k, catalog.FactOptions)
}

// viewOptionHazards tells what the options of a view mean for those who use it.
func viewOptionHazards(k catalog.Key, old, declared [][2]string) []Hazard {
	means := map[string]string{
		"security_invoker": "the tables below " + k.String() + " are read with other rights and under other policies: its owner's, or those of whoever asks",
		"security_barrier": "what functions and operators in queries of " + k.String() + " get to see changes, and so may their speed",
		"check_option":     "writes through " + k.String() + " of rows that it does not show are refused, or let in",
	}
	var out []Hazard
	for _, name := range []string{"check_option", "security_barrier", "security_invoker"} {
		of := func(list [][2]string) string {
			for _, o := range list {
				if o[0] == name && o[1] != "false" && o[1] != "off" {
					return o[1]
				}
			}
			return ""
		}
		if of(old) != of(declared) {
			out = append(out, Hazard{BreaksCode, means[name]})
		}
	}
	return out
}

func hasOption(options [][2]string, o [2]string) bool {
	for _, have := range options {
		if have == o {
			return true
		}
	}
	return false
}

// rowSecurity switches row level security and its force.
func (b *builder) rowSecurity(k catalog.Key, live, want, reason string) {
	for _, flag := range []struct{ word, on, off string }{
		{"enabled", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"},
		{"forced", "FORCE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"},
	} {
		was, is := strings.Contains(live, flag.word), strings.Contains(want, flag.word)
		if was == is {
			continue
		}
		s := Statement{SQL: "ALTER TABLE " + name(k) + " " + flag.off, Reason: "row security: " + reason}
		if is {
			s.SQL = "ALTER TABLE " + name(k) + " " + flag.on
		}
		if b.fates[k] != create {
			s.Lock = on(accessExclusive, k.Schema+"."+k.Name)
			if is {
				s.Hazards = []Hazard{{BreaksCode, "roles without a policy see and write no rows of " + k.String() + " afterwards"}}
			} else {
				s.Hazards = []Hazard{{BreaksCode, "roles see and write rows of " + k.String() + " that policies keep from them today"}}
			}
		}
		b.add(alters, k, s)
	}
}

// replicaIdentity says what identifies a row in logical replication: full, nothing, "index name", or the key.
func (b *builder) replicaIdentity(k catalog.Key, want, reason string) {
	s := Statement{SQL: "ALTER TABLE " + name(k) + " REPLICA IDENTITY ", Reason: reason}
	if b.fates[k] != create {
		s.Lock = on(accessExclusive, k.Schema+"."+k.Name)
	}
	ident, using := strings.CutPrefix(want, "index ")
	switch {
	case using:
		s.SQL += "USING INDEX " + ident
	case want == "":
		s.SQL += "DEFAULT"
	default:
		s.SQL += strings.ToUpper(want)
	}
	out := b.add(alters, k, s)
	out.rank.part = 10 // behind the table's indexes
	if using {
		plain, _ := scanIdent(ident)
		for _, kind := range []catalog.Kind{catalog.Index, catalog.Constraint} {
			b.lateNeeds = append(b.lateNeeds, lateNeed{out, catalog.Key{Kind: kind, Schema: k.Schema, Table: k.Name, Name: plain}})
		}
	}
}

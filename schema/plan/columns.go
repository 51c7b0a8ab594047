package plan

import (
	"cmp"
	"slices"
	"strings"

	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

func sortByPosition(columns []*catalog.Object) {
	slices.SortFunc(columns, func(a, b *catalog.Object) int {
		return cmp.Or(cmp.Compare(a.Notes.Position, b.Notes.Position), catalog.CompareKeys(a.Key, b.Key))
	})
}

// columnChange is an ALTER TABLE on one column. Those that rewrite the table are put into one statement, so that
// it is rewritten once.
type columnChange struct {
	key     catalog.Key
	draft   *draft
	changes []schema.Change
	reason  string
	hazards []Hazard
	role    role
	// disrupts marks a change of type: dependents must be out of the way.
	disrupts bool
	rewrites bool
	joins    bool        // goes into the table's one statement, though it rewrites nothing
	then     func(*step) // called once the step is filed
}

// change files a column change as a step, or with the others that rewrite the table.
func (b *builder) change(c *columnChange) *step {
	if c.rewrites || c.joins {
		owner := c.key.Owner()
		b.rewrites[owner] = append(b.rewrites[owner], c)
		return nil
	}
	return b.columnStep(c.key, []*columnChange{c})
}

// buildRewrites plans one ALTER TABLE for all changes that rewrite one table.
func (b *builder) buildRewrites() {
	for _, k := range b.keys() {
		if changes := b.rewrites[k]; len(changes) > 0 {
			object := k
			if len(changes) == 1 {
				object = changes[0].key
			}
			b.columnStep(object, changes)
		}
	}
}

// columnStep has Atlas plan the changes as one statement, and files it under each column.
func (b *builder) columnStep(object catalog.Key, changes []*columnChange) *step {
	owner := changes[0].key.Owner()
	d := &draft{}
	modify := &schema.ModifyTable{T: atlasTable(owner)}
	s := Statement{Lock: on(accessExclusive, tableWords(changes[0].key))}
	if b.freshOwner(changes[0].key) {
		s.Lock = ""
	}
	var reasons []string
	for _, c := range changes {
		d.replace = append(d.replace, c.draft.replace...)
		modify.Changes = append(modify.Changes, c.changes...)
		reason := c.reason
		if len(changes) > 1 {
			reason = "column " + c.key.Name + ": " + reason
		}
		reasons = append(reasons, reason)
		for _, h := range c.hazards {
			if !slices.Contains(s.Hazards, h) {
				s.Hazards = append(s.Hazards, h)
			}
		}
	}
	s.Reason = strings.Join(reasons, "; ")
	for _, c := range changes {
		if c.rewrites {
			s.Hazards = append(s.Hazards, Hazard{Rewrite, owner.String() + " is written again whole under ACCESS EXCLUSIVE; nobody reads or writes it meanwhile (" +
				size(b.liveObject(owner)) + ")"})
			break
		}
	}
	sql, err := d.plan(modify)
	if err != nil {
		b.refuse(object, "atlas could not plan it ("+err.Error()+")", "report this, and change it by hand")
		return nil
	}
	s.SQL = strings.TrimSpace(sql)
	r := alters
	if len(changes) == 1 {
		r = changes[0].role
	}
	out := b.add(r, object, s)
	for _, c := range changes {
		out.disrupts = out.disrupts || c.disrupts
		b.fileColumn(out, object, c)
		if c.then != nil {
			c.then(out)
		}
	}
	return out
}

// fileColumn files a step under a column by what it does to it: one that is dropped and added again is both.
func (b *builder) fileColumn(s *step, object catalog.Key, c *columnChange) {
	if object != c.key {
		a := b.actions(object)
		a.alter = slices.DeleteFunc(a.alter, func(x *step) bool { return x == s })
	}
	a := b.actions(c.key)
	fileIn := func(list *[]*step) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, change := range c.changes {
		switch change.(type) {
		case *schema.AddColumn:
			fileIn(&a.make)
		case *schema.DropColumn:
			fileIn(&a.gone)
		default:
			fileIn(&a.alter)
		}
	}
}

// addColumn adds a new column, or makes one anew whose generation changes.
func (b *builder) addColumn(k catalog.Key, want *catalog.Object) {
	b.cover(k)
	if want.Fact(catalog.FactInherited) == inheritedOnly {
		return // comes with the parent's
	}
	c := &columnChange{key: k, draft: b.draft(), reason: b.why(k), role: makes}
	con := notNulls(b.wantBy, k.Owner())[k.Name]
	notNull := ""
	if con == nil || b.withColumn(con) { // otherwise it is added by itself
		notNull = b.inlineNotNull(want, con)
	}
	if con != nil && notNull != "" {
		b.comment(con.Key)
	}
	target := want
	if b.fates[k] == recreate {
		target = b.remake(c, want)
		needs := b.liveObject(k).Needs
		c.joins = slices.ContainsFunc(needs, func(n catalog.Key) bool { return n.Table == k.Table && n.Schema == k.Schema && b.retyped(n) })
		if slices.ContainsFunc(needs, func(n catalog.Key) bool { return n.Kind != catalog.Column && b.goes(n) }) { // it stands in the way of that
			b.change(&columnChange{key: k, draft: b.draft(), role: drops, reason: c.reason, hazards: c.hazards, changes: c.changes})
			c.changes, c.hazards = nil, nil
		}
	} else if like := b.filledLike(want); like != nil {
		filled := *want
		filled.Facts = append(slices.Clone(want.Facts), catalog.Fact{Name: catalog.FactDefault, Value: like.Fact(catalog.FactDefault)})
		target = &filled
		c.reason += "; archived rows get the default of " + like.Key.String()
	} else if notNull != "" && !b.fills(want) {
		c.hazards = append(c.hazards, Hazard{BreaksCode, "fails if " + tableWords(k) + " has rows, since they would have no value (" +
			size(b.liveObject(k.Owner())) + "); inserts that do not name the column fail afterwards"})
	}
	c.rewrites = c.rewrites || b.addRewrites(target)
	c.changes = append(c.changes, &schema.AddColumn{C: c.draft.atlasColumn(target, notNull, !b.detached[k])})
	c.then = func(s *step) {
		if con != nil && notNull != "" {
			b.actions(con.Key).make = append(b.actions(con.Key).make, s)
		}
		switch {
		case target != want && target.Fact(catalog.FactGenerated) == "":
			b.endFill(want, s)
		case target != want:
			drop := b.dropExpression(k, "the values stay as plain ones")
			drop.needs(s)
			tie(s, drop)
			for _, n := range b.liveObject(k).Needs { // until then it is computed from them
				b.lateBefore = append(b.lateBefore, lateNeed{drop, n})
			}
			if want.Fact(catalog.FactDefault) != "" {
				b.setDefault(k, nil, want, "the declared default").needs(drop)
			}
		}
		b.restore(k, s)
		b.columnProperties(k, nil, want, s)
		b.comment(k)
	}
	b.change(c)
}

// filledLike is the live table's column whose default the rows of an archive get in a column that is added to it, or nil.
func (b *builder) filledLike(want *catalog.Object) *catalog.Object {
	if like := b.wantObject(want.Notes.Like); like != nil && !b.fills(want) && like.Fact(catalog.FactDefault) != "" {
		return like
	}
	return nil
}

// endFill takes the default away that filled a new column of an archive, which has none.
func (b *builder) endFill(want *catalog.Object, added *step) {
	like := b.filledLike(want)
	for _, n := range like.Needs {
		if n != like.Key.Owner() {
			b.lateNeeds = append(b.lateNeeds, lateNeed{added, n})
		}
	}
	drop := b.setDefault(want.Key, nil, want, "an archive has no defaults: this one has filled the rows that are there")
	drop.needs(added)
	tie(added, drop)
}

// remake turns the addition of a column into its exchange, and returns the column to add.
func (b *builder) remake(c *columnChange, want *catalog.Object) *catalog.Object {
	live := b.liveObject(c.key)
	c.changes = append(c.changes, &schema.DropColumn{C: bareColumn(c.key)})
	was, is := live.Fact(catalog.FactGenerated), want.Fact(catalog.FactGenerated)
	switch {
	case was == "":
		c.hazards = append(c.hazards, Hazard{DataLoss, "the values stored in " + c.key.String() + " are replaced by computed ones"})
	case is == "" && (live.Fact(catalog.FactType) != want.Fact(catalog.FactType) || live.Fact(catalog.FactCollation) != want.Fact(catalog.FactCollation)):
		c.hazards = append(c.hazards, Hazard{DataLoss, "the values that " + c.key.String() + " computes are gone, since it becomes a plain column of another type"})
	case is == "":
		// Only a stored column can become a plain one with its values, so it is stored for a moment.
		stored := *live
		stored.Facts = slices.Clone(live.Facts)
		for i := range stored.Facts {
			if stored.Facts[i].Name == catalog.FactGenerated {
				stored.Facts[i].Value = "stored"
			}
		}
		want = &stored
	}
	if !b.isLast(live) {
		c.hazards = append(c.hazards, Hazard{BreaksCode, "column " + c.key.Name + " moves to the end of " + tableWords(c.key) +
			": SELECT * and INSERT without a column list see another order"})
	}
	return want
}

// withColumn reports whether a NOT NULL constraint is added together with its column.
func (b *builder) withColumn(con *catalog.Object) bool {
	column, _, ok := notNullColumn(con.Fact(catalog.FactDefinition))
	if !ok || con.Fact(catalog.FactConstraintType) != "n" || con.Fact(catalog.FactValid) != "" || con.Fact(catalog.FactInherited) == inheritedOnly {
		return false
	}
	made := func(k catalog.Key) bool { return b.fates[k] == create || b.fates[k] == recreate }
	return made(con.Key) && made(catalog.Key{Kind: catalog.Column, Schema: con.Key.Schema, Table: con.Key.Table, Name: column})
}

// isLast reports whether no column of the live table stands behind this one.
func (b *builder) isLast(live *catalog.Object) bool {
	for _, c := range b.liveBy.of(live.Key.Owner(), catalog.Column) {
		if c.Notes.Position > live.Notes.Position {
			return false
		}
	}
	return true
}

// fills reports whether existing rows get a value for a new column.
func (b *builder) fills(want *catalog.Object) bool {
	return want.Fact(catalog.FactDefault) != "" || want.Fact(catalog.FactIdentity) != "" || want.Fact(catalog.FactGenerated) != ""
}

// addRewrites reports whether adding the column writes every row: unless its value is the same for all.
func (b *builder) addRewrites(c *catalog.Object) bool {
	switch {
	case c.Fact(catalog.FactGenerated) == "stored", c.Fact(catalog.FactIdentity) != "":
		return true
	case c.Fact(catalog.FactGenerated) == "virtual":
		return false
	}
	return mayBeVolatile(c.Fact(catalog.FactDefault)) || b.isDomain(c.Fact(catalog.FactType))
}

// isDomain reports whether the type is a domain with a constraint: the server then checks each row.
func (b *builder) isDomain(typ string) bool {
	parts, _ := scanName(typ)
	if len(parts) != 2 {
		return false
	}
	o := b.wantObject(catalog.Key{Kind: catalog.Domain, Schema: parts[0], Name: parts[1]})
	return o != nil && (o.Fact(catalog.FactNotNull) != "" || len(prefixed(nil, o, catalog.PrefixConstraint)) > 0 || b.isDomain(o.Fact(catalog.FactType)))
}

func (b *builder) dropColumn(k catalog.Key, live *catalog.Object) {
	b.cover(k)
	if b.fates[k] == recreate || live.Fact(catalog.FactInherited) == inheritedOnly {
		return // part of the exchange; or goes with the parent's
	}
	owner := b.liveObject(k.Owner())
	if slices.Contains(partitionColumns(owner), k.Name) {
		b.refuse(k, "it is in the database, but not declared, and it is in the partition key of "+owner.Key.String(),
			"declare it; PostgreSQL cannot drop a column of a partition key")
		return
	}
	hazard := Hazard{DataLoss, "the values in " + k.String() + " are gone (" + size(owner) + ")"}
	hazards := []Hazard{hazard, {BreaksCode, "queries that name the column fail afterwards"}}
	if live.Fact(catalog.FactGenerated) != "" {
		hazards = hazards[1:] // computed from the others
	}
	b.change(&columnChange{key: k, draft: b.draft(), role: drops, reason: b.why(k), hazards: hazards,
		changes: []schema.Change{&schema.DropColumn{C: bareColumn(k)}}})
}

// setDefault sets or drops a column's default; live is nil where none is there.
func (b *builder) setDefault(k catalog.Key, live, want *catalog.Object, reason string) *step {
	c := &columnChange{key: k, draft: b.draft(), reason: reason, changes: []schema.Change{defaultChange(k, want.Fact(catalog.FactDefault))}, role: alters}
	if b.differsIn(k, catalog.FactDefault) {
		c.hazards = losesDefault(live, want)
	}
	return b.change(c)
}

// bareColumn is a column of which only the name matters. Atlas wants a type all the same.
func bareColumn(k catalog.Key) *schema.Column {
	return &schema.Column{Name: atlasName(k.Name), Type: &schema.ColumnType{Type: &postgres.UserDefinedType{T: "text"}, Null: true}}
}

func defaultChange(k catalog.Key, expr string) *schema.ModifyColumn {
	col := bareColumn(k)
	if expr != "" {
		col.Default = &schema.RawExpr{X: expr}
	}
	return &schema.ModifyColumn{From: col, To: col, Change: schema.ChangeDefault}
}

// columnProperties sets what CREATE TABLE and ADD COLUMN cannot say; live is nil for a new column.
func (b *builder) columnProperties(k catalog.Key, live, want *catalog.Object, made *step) {
	from := func(fact string) string {
		if live == nil {
			return ""
		}
		return live.Fact(fact)
	}
	set := func(action, fact, lock string) {
		reason := "the declared " + fact
		if live != nil {
			reason = b.describeAll(k, fact)
		}
		s := Statement{SQL: "ALTER TABLE " + table(k) + " ALTER COLUMN " + pg.Ident(k.Name) + " " + action, Reason: reason, Lock: on(lock, tableWords(k))}
		if b.ownerFate(b.want, k) == create {
			s.Lock = ""
		}
		out := b.add(alters, k, s)
		if made != nil {
			out.needs(made)
		}
		b.cover(k, fact)
	}
	if t := want.Fact(catalog.FactStatTarget); t != from(catalog.FactStatTarget) {
		set("SET STATISTICS "+orDefault(t, "DEFAULT"), catalog.FactStatTarget, shareUpdateExclusive)
	}
	if live != nil {
		if s := want.Fact(catalog.FactStorage); s != from(catalog.FactStorage) {
			set("SET STORAGE "+strings.ToUpper(orDefault(s, "default")), catalog.FactStorage, accessExclusive)
		}
		if s := want.Fact(catalog.FactCompression); s != from(catalog.FactCompression) {
			set("SET COMPRESSION "+orDefault(s, "default"), catalog.FactCompression, accessExclusive)
		}
	}
	old, declared := splitOptions(from(catalog.FactOptions)), splitOptions(want.Fact(catalog.FactOptions))
	if reset := without(optionNames(old), optionNames(declared)); len(reset) > 0 {
		set("RESET ("+strings.Join(reset, ", ")+")", catalog.FactOptions, shareUpdateExclusive)
	}
	if want.Fact(catalog.FactOptions) != from(catalog.FactOptions) && len(declared) > 0 {
		set("SET ("+optionList(want.Fact(catalog.FactOptions))+")", catalog.FactOptions, shareUpdateExclusive)
	}
}

// mayBeVolatile reports whether a default can differ from row to row, so that adding the column writes each. It
// errs on the side of yes: functions that are not known to be the same within a statement count as volatile.
func mayBeVolatile(expr string) bool {
	known := []string{"now", "current_timestamp", "current_time", "localtimestamp", "localtime", "statement_timestamp", "transaction_timestamp", "current_user", "session_user", "current_setting", "timezone",
		"date_trunc", "to_char", "lower", "upper", "concat", "jsonb_build_object", "jsonb_build_array", "json_build_object",
		"json_build_array", "make_interval", "make_date", "coalesce", "length", "abs"}
	for i := 0; i < len(expr); i++ {
		switch expr[i] {
		case '\'', '"':
			i = closing(expr, i, i > 0 && expr[i-1] == 'E')
		case '(':
			end := i
			for end > 0 && (expr[end-1] == '_' || expr[end-1] == '.' || expr[end-1] == '"' || isAlnum(expr[end-1])) {
				end--
			}
			if f := strings.ToLower(expr[end:i]); f != "" && !slices.Contains(known, f) && !isTypeModifier(expr[:end]) {
				return true
			}
		}
	}
	return false
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isTypeModifier: what stands before numeric(10,2) in 0::numeric(10,2) is a cast.
func isTypeModifier(before string) bool {
	return strings.HasSuffix(before, "::") || strings.HasSuffix(before, "::character ") || strings.HasSuffix(before, "::bit ")
}

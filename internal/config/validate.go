package config

import (
	"cmp"
	"slices"
)

// validate holds the policies against each other, then sorts them, so that the order of the blocks in
// the file has no meaning.
func (l *loader) validate() {
	e := l.env
	owners := map[Table]claim{}
	for _, p := range e.Partitions {
		l.claim(owners, p.Table, claim{"partition", p.Pos})
	}
	for _, a := range e.Archives {
		if !a.Partitioned {
			l.claim(owners, a.Table, claim{"archive", a.Pos})
		}
	}
	for _, r := range e.Refreshes {
		l.claim(owners, r.View, claim{"refresh", r.Pos})
	}
	l.validateTargets(owners)
	l.validateNames()
	slices.SortFunc(e.Partitions, func(a, b Partition) int { return compareTables(a.Table, b.Table) })
	slices.SortFunc(e.Archives, func(a, b Archive) int { return compareTables(a.Table, b.Table) })
	slices.SortFunc(e.Refreshes, func(a, b Refresh) int { return compareTables(a.View, b.View) })
	slices.SortFunc(e.Jobs, func(a, b SQLJob) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(e.Checks, func(a, b SQLCheck) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(e.Ignored, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
}

func compareTables(a, b Table) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
}

// claim is a policy's hold on a relation.
type claim struct {
	kind string
	pos  Pos
}

// claim reports a relation that has a policy already, or may have none.
func (l *loader) claim(owners map[Table]claim, table Table, c claim) {
	if why := l.env.untouchable(table); why != "" {
		l.add(c.pos, "%s of %s: %s", c.kind, table, why)
	}
	other, taken := owners[table]
	if !taken {
		owners[table] = c
		return
	}
	if c.pos.Line < other.pos.Line || c.pos.Line == other.pos.Line && c.pos.Column < other.pos.Column {
		c, other = other, c // the later one is the one too many
		owners[table] = other
	}
	advice := "keep one of them"
	if c.kind != other.kind && c.kind != "refresh" && other.kind != "refresh" {
		advice = "put the archive block inside the partition block"
	}
	l.add(c.pos, "%s of %s: another policy has that relation, the %s at %s: %s", c.kind, table, other.kind, other.pos, advice)
}

// validateTargets checks the archive tables.
func (l *loader) validateTargets(owners map[Table]claim) {
	targets := map[Table]Archive{}
	archives := slices.Clone(l.env.Archives)
	slices.SortFunc(archives, func(a, b Archive) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	for _, a := range archives {
		if a.Into == (Table{}) {
			continue // reported
		}
		at := l.intoAt[a.Pos]
		other, taken := targets[a.Into]
		owner, owned := owners[a.Into]
		why := l.env.untouchable(a.Into)
		switch {
		case a.Into == a.Table:
			l.add(at, "archive of %s: into is the table itself", a.Table)
		case owned:
			l.add(at, "archive of %s: into %s is the table of another policy, the %s at %s", a.Table, a.Into, owner.kind, owner.pos)
		case why != "":
			l.add(at, "archive of %s: into %s: %s", a.Table, a.Into, why)
		case taken && other.Table != a.Table:
			l.add(at, "archive of %s: into %s is the archive of %s already, at %s", a.Table, a.Into, other.Table, other.Pos)
		default:
			targets[a.Into] = a
		}
	}
}

func (l *loader) validateNames() {
	jobs, checks := map[string]Pos{}, map[string]Pos{}
	for _, j := range l.env.Jobs {
		if at, twice := jobs[j.Name]; twice {
			l.add(j.Pos, "job %q is given twice; the first is at %s", j.Name, at)
			continue
		}
		jobs[j.Name] = j.Pos
	}
	for _, c := range l.env.Checks {
		if at, twice := checks[c.Name]; twice {
			l.add(c.Pos, "check %q is given twice; the first is at %s", c.Name, at)
			continue
		}
		checks[c.Name] = c.Pos
	}
}

// untouchable says why nothing may be done to a relation; empty: it may.
func (e *Env) untouchable(t Table) string {
	if why := reservedSchema(t.Schema); why != "" {
		return "the schema " + t.Schema + " cannot be managed: " + why
	}
	if e.SchemasGiven && len(e.Schemas) > 0 && !slices.Contains(e.Schemas, t.Schema) {
		return "the schema " + t.Schema + " is not managed: add it to schemas, or name the right one with schema = …"
	}
	if p, yes := e.Excluded(t); yes {
		return "it is left alone by exclude " + p.Text + ", at " + p.Pos.String()
	}
	return ""
}

// Excluded reports whether exclude leaves the relation alone, and by which pattern.
func (e *Env) Excluded(t Table) (Pattern, bool) {
	for _, p := range e.Exclude {
		if p.Match(t.Schema, t.Name) {
			return p, true
		}
	}
	return Pattern{}, false
}

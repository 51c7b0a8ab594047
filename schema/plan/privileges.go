package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// privilegeTarget is the object as GRANT names it.
func privilegeTarget(k catalog.Key) string {
	switch k.Kind {
	case catalog.Schema:
		return "SCHEMA " + name(k)
	case catalog.Enum, catalog.Composite, catalog.Range:
		return "TYPE " + name(k)
	case catalog.Aggregate:
		return "FUNCTION " + flatArguments(name(k))
	case catalog.Domain, catalog.Sequence, catalog.Function, catalog.Procedure:
		return strings.ToUpper(string(k.Kind)) + " " + name(k)
	}
	return "TABLE " + name(k)
}

// flatArguments names an aggregate as a function: all types in one list, in which a variadic one that both parts have stands once.
func flatArguments(aggregate string) string {
	aggregate = strings.Replace(aggregate, "(*)", "()", 1)
	direct, ordered, ok := strings.Cut(aggregate, "ORDER BY ")
	switch direct = strings.TrimSuffix(direct, " "); {
	case !ok:
		return aggregate
	case strings.HasSuffix(direct, "("):
		return direct + ordered
	case strings.Contains(direct, "VARIADIC "):
		return direct + ")"
	}
	return direct + ", " + ordered
}

// privileges plans what an object's privileges lack and have too much, where the sources declare any.
func (b *builder) privileges(k catalog.Key) {
	live, want := b.liveObject(k), b.wantObject(k)
	if k.Kind == catalog.DefaultPrivileges && want == nil {
		(&granting{b: b, key: k}).defaults(live, nil)
		return
	}
	if want == nil || want.Fact(catalog.FactPrivileges) == "" || b.fates[k] == keep || b.isRenamed(k) {
		return
	}
	b.needRoles(k, want)
	g := &granting{b: b, key: k, made: b.fates[k] == create || b.fates[k] == recreate}
	if k.Kind == catalog.DefaultPrivileges {
		g.defaults(live, want)
		return
	}
	if g.made {
		g.fresh(want)
		g.lost(live, want)
		return
	}
	for _, role := range prefixed(live, want, catalog.PrefixPrivileges) {
		fact := catalog.PrefixPrivileges + role
		d, ok := b.delta(k, fact)
		if !ok {
			continue
		}
		b.cover(k, fact)
		g.change(role, privilegeList(d.Live), privilegeList(d.Declared))
	}
}

// needRoles refuses privileges of roles that the server does not have.
func (b *builder) needRoles(k catalog.Key, want *catalog.Object) {
	for _, f := range want.Facts {
		role, ok := strings.CutPrefix(f.Name, catalog.PrefixPrivileges)
		if _, differs := b.delta(k, f.Name); ok && role != "PUBLIC" && (differs || b.fates[k] != alter) && !slices.Contains(b.live.Roles, role) {
			b.refused = append(b.refused, Refusal{What: k.String(), Why: "role " + role + " shall have " + f.Value + " on it, and there is no such role",
				Advice: "CREATE ROLE " + role + ", or take it out of the GRANT"})
		}
	}
}

// privilegeList splits a fact's value. Names of columns may be quoted.
func privilegeList(value string) []string {
	if value == "" {
		return nil
	}
	return splitList(value)
}

// granting collects the steps of one object.
type granting struct {
	b    *builder
	key  catalog.Key
	made bool
	last *step
}

const grantOption = " WITH GRANT OPTION"

// fresh gives a new object exactly what is declared, whatever default privileges the server has given it.
func (g *granting) fresh(want *catalog.Object) {
	revoke := []string{}
	if isRoutine(g.key.Kind) || isType(g.key.Kind) {
		revoke = append(revoke, "PUBLIC") // may by itself
	}
	revoke = append(revoke, g.b.live.DefaultGrantees...)
	revoke = append(revoke, g.b.want.DefaultGrantees...)
	slices.Sort(revoke)
	for _, role := range slices.Compact(revoke) {
		if role != "PUBLIC" && !slices.Contains(g.b.live.DefaultGrantees, role) && !slices.Contains(g.b.live.Roles, role) {
			continue
		}
		if isRoutine(g.key.Kind) && want.Fact(catalog.PrefixPrivileges+role) == "EXECUTE" || isType(g.key.Kind) && want.Fact(catalog.PrefixPrivileges+role) == "USAGE" {
			continue
		}
		g.add("REVOKE ALL ON "+privilegeTarget(g.key)+" FROM "+role, "not declared, and given to new objects", nil)
	}
	for _, f := range want.Facts {
		if role, ok := strings.CutPrefix(f.Name, catalog.PrefixPrivileges); ok {
			g.change(role, nil, privilegeList(f.Value))
		}
	}
}

// lost tells what an object that is made anew does not give back.
func (g *granting) lost(live, want *catalog.Object) {
	made := g.b.actions(g.key).make
	if live == nil || len(made) == 0 {
		return
	}
	for _, role := range prefixed(live, want, catalog.PrefixPrivileges) {
		fact := catalog.PrefixPrivileges + role
		if gone := without(privilegeList(live.Fact(fact)), privilegeList(want.Fact(fact))); len(gone) > 0 {
			made[0].Hazards = append(made[0].Hazards, Hazard{BreaksCode, role + " loses " + strings.Join(gone, ", ") + ", which is not declared"})
		}
	}
}

// change takes from a role what is not declared and gives it what is missing.
func (g *granting) change(role string, live, declared []string) {
	reason := "privileges of " + role + " are " + orNone(strings.Join(live, ", ")) + ", declared are " + orNone(strings.Join(declared, ", "))
	var revoke, options, grant, passing []string
	for _, p := range without(live, declared) {
		if _, by, ok := strings.Cut(p, " GRANTED BY "); ok {
			g.b.refuse(g.key, role+" has "+p+", which only "+by+" can take back", "have "+by+" revoke it, or declare who may pass it on")
			return
		}
		plain, passes := strings.CutSuffix(p, grantOption)
		switch {
		case g.columnGoes(plain):
		case passes && slices.Contains(declared, plain):
			options = append(options, plain)
		case !passes && slices.Contains(declared, p+grantOption):
		default:
			revoke = append(revoke, plain)
		}
	}
	for _, p := range without(declared, live) {
		plain, passes := strings.CutSuffix(p, grantOption)
		if passes {
			passing = append(passing, plain)
		} else if !slices.Contains(live, p+grantOption) {
			grant = append(grant, plain)
		}
	}
	on := " ON " + privilegeTarget(g.key)
	lost := []Hazard{{BreaksCode, "what " + role + " does by them is refused afterwards"}}
	if len(revoke) > 0 {
		g.add("REVOKE "+strings.Join(revoke, ", ")+on+" FROM "+role, reason, lost)
	}
	if len(options) > 0 {
		g.add("REVOKE GRANT OPTION FOR "+strings.Join(options, ", ")+on+" FROM "+role, reason, lost)
	}
	if len(grant) > 0 {
		g.add("GRANT "+strings.Join(grant, ", ")+on+" TO "+role, reason, nil)
	}
	if len(passing) > 0 {
		g.add("GRANT "+strings.Join(passing, ", ")+on+" TO "+role+grantOption, reason, nil)
	}
}

// columnGoes reports whether the privilege is one on a column that is dropped, and goes with it.
func (g *granting) columnGoes(privilege string) bool {
	_, column, ok := strings.Cut(privilege, " (")
	if !ok {
		return false
	}
	column, _ = scanIdent(column)
	return g.b.fates[catalog.Key{Kind: catalog.Column, Schema: g.key.Schema, Table: g.key.Name, Name: column}] == drop
}

// add files a step behind all that makes and alters the object and its parts.
func (g *granting) add(sql, reason string, hazards []Hazard) {
	s := g.b.add(alters, g.key, Statement{SQL: sql, Reason: reason, Hazards: hazards})
	s.final = true
	s.rank.part += 30
	for _, other := range g.b.steps {
		if other != s && other.role != drops && (other.Object == g.key || other.Object.Schema == g.key.Schema && other.Object.Table == g.key.Name && g.key.Name != "") {
			s.needs(other)
		}
	}
	if g.made {
		tie(append([]*step{s}, g.b.actions(g.key).make...)...)
	}
	g.last = s
}

// defaults plans ALTER DEFAULT PRIVILEGES; live and want may be nil. What is given to new objects without being asked is told too.
func (g *granting) defaults(live, want *catalog.Object) {
	head, objects, _ := strings.Cut(g.key.Name, "on ")
	sql := "ALTER DEFAULT PRIVILEGES "
	if role := strings.TrimSuffix(strings.TrimPrefix(head, "of "), " "); role != "" {
		sql += "FOR ROLE " + role + " "
	}
	if g.key.Schema != "" {
		sql += "IN SCHEMA " + pg.Ident(g.key.Schema) + " "
	}
	side := func(o *catalog.Object, role string) []string {
		if o != nil {
			return privilegeList(o.Fact(catalog.PrefixPrivileges + role))
		}
		if role == "PUBLIC" && g.key.Schema == "" {
			return map[string][]string{"FUNCTIONS": {"EXECUTE"}, "TYPES": {"USAGE"}}[objects]
		}
		return nil
	}
	roles := prefixed(orEmpty(live), orEmpty(want), catalog.PrefixPrivileges)
	if !slices.Contains(roles, "PUBLIC") {
		roles = append([]string{"PUBLIC"}, roles...)
	}
	for _, role := range roles {
		was, is := side(live, role), side(want, role)
		reason := "default privileges of " + role + " are " + orNone(strings.Join(was, ", ")) + ", declared are " + orNone(strings.Join(is, ", "))
		var passing, plain []string
		for _, p := range is {
			if bare, ok := strings.CutSuffix(p, grantOption); ok {
				passing = append(passing, bare)
			} else {
				plain = append(plain, p)
			}
		}
		if slices.Equal(was, is) {
			continue
		}
		var before *step
		file := func(clause string, hazards []Hazard) {
			s := g.b.add(alters, g.key, Statement{SQL: sql + clause, Reason: reason, Hazards: hazards})
			s.rank.group = 0
			if before != nil {
				s.needs(before)
				tie(before, s)
			}
			before = s
		}
		if len(without(was, is)) > 0 {
			file("REVOKE ALL ON "+objects+" FROM "+role, []Hazard{{BreaksCode, "what " + role + " does by them is refused on objects that are made from now on"}})
		}
		if len(plain) > 0 {
			file("GRANT "+strings.Join(plain, ", ")+" ON "+objects+" TO "+role, nil)
		}
		if len(passing) > 0 {
			file("GRANT "+strings.Join(passing, ", ")+" ON "+objects+" TO "+role+grantOption, nil)
		}
	}
	g.b.cover(g.key)
	g.b.cover(g.key, catalog.FactPrivileges)
	for _, role := range roles {
		g.b.cover(g.key, catalog.PrefixPrivileges+role)
	}
}

func orEmpty(o *catalog.Object) *catalog.Object {
	if o == nil {
		return &catalog.Object{}
	}
	return o
}

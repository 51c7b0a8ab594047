package partition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// design is one partition to be made, down to its statements.
type design struct {
	set   *parts.Set
	want  parts.Wanted
	name  config.Table
	print *blueprint
	model []node   // what it is like; empty: nothing but the parent
	made  []string // partitions of the same table that this run made before it
}

func ident(t config.Table) string { return pg.Ident(t.Schema, t.Name) }

// build makes the partition with all that it needs, still apart from its parent: nobody waits for it. Foreign keys are
// left to ATTACH, which then needs a weaker lock on the referenced tables.
func (d design) build() []string {
	elements := fmt.Sprintf("LIKE %s INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT %s CHECK (%s)",
		ident(d.set.Table), parts.BoundsCheck, d.set.Key.Check(d.want.Range))
	create := fmt.Sprintf("CREATE TABLE %s (%s)", ident(d.name), elements)
	if len(d.model) == 0 {
		return slices.Concat([]string{create + d.where(node{})}, d.include(d.name), d.finish(d.name))
	}
	root, below := d.model[0], d.model[1:]
	list := slices.Concat([]string{create + d.where(root)}, d.include(d.name), d.finish(d.name))
	made := map[uint32]config.Table{root.OID: d.name}
	for _, n := range below {
		name := config.Table{Schema: d.name.Schema, Name: parts.Fit(d.name.Name, rest(root.Name, n.Name))}
		made[n.OID] = name
		list = append(list, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s %s%s", ident(name), ident(made[n.Parent]), n.Bound, d.where(n)))
		list = append(list, d.finish(name)...)
	}
	return list
}

// include drops the exclusion constraints that a table apart has in common with the parent. ATTACH takes no index of such a one for
// the parent's and makes another, so that each would be checked twice. The server has named them.
func (d design) include(t config.Table) []string {
	if !d.print.Exclude {
		return nil
	}
	return []string{fmt.Sprintf(`DO $include$
DECLARE name text;
BEGIN
	FOR name IN SELECT x.conname FROM pg_catalog.pg_constraint x WHERE x.conrelid = %[1]s::regclass AND x.contype = 'x' AND pg_catalog.pg_get_constraintdef(x.oid) IN (
		SELECT pg_catalog.pg_get_constraintdef(p.oid) FROM pg_catalog.pg_constraint p WHERE p.conrelid = %[2]s::regclass AND p.contype = 'x')
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %[3]s DROP CONSTRAINT %%I', name);
	END LOOP;
END $include$`, pg.Literal(ident(t)), pg.Literal(ident(d.set.Table)), strings.ReplaceAll(strings.ReplaceAll(ident(t), "%", "%%"), "'", "''"))}
}

// rest is the part of a sub-partition's name that its partition's name does not have.
func rest(partition, sub string) string {
	if s, ok := strings.CutPrefix(sub, partition); ok && s != "" {
		return s
	}
	return "_" + sub
}

// where says how and where the table is stored. A divided one stores nothing, but its tablespace and method count for what is
// made below it.
func (d design) where(like node) string {
	var s string
	if like.Key != "" {
		s += " PARTITION BY " + like.Key
	}
	if d.print.Method != "" {
		s += " USING " + pg.Ident(d.print.Method)
	}
	if with := append(options("", like.Options), options("toast.", like.Toast)...); len(with) > 0 {
		s += " WITH (" + strings.Join(with, ", ") + ")"
	}
	if d.print.Tablespace != "" {
		s += " TABLESPACE " + pg.Ident(d.print.Tablespace)
	}
	return s
}

// options turns key=value into key = 'value'.
func options(prefix string, list []string) []string {
	var out []string
	for _, o := range list {
		key, value, _ := strings.Cut(o, "=")
		out = append(out, prefix+pg.Ident(key)+" = "+pg.Literal(value))
	}
	return out
}

// finish gives one new table what neither LIKE nor ATTACH brings.
func (d design) finish(t config.Table) []string {
	b, name := d.print, ident(t)
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if b.SetOwner {
		say("ALTER TABLE %s OWNER TO %s", name, pg.Ident(b.Owner))
	}
	for _, role := range b.Defaults {
		say("REVOKE ALL ON TABLE %s FROM %s", name, grantee(role))
	}
	list = append(list, grants(name, b.Grants)...)
	if b.RLS {
		say("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name)
	}
	if b.ForceRLS {
		say("ALTER TABLE %s FORCE ROW LEVEL SECURITY", name)
	}
	switch b.Identity {
	case "f":
		say("ALTER TABLE %s REPLICA IDENTITY FULL", name)
	case "n":
		say("ALTER TABLE %s REPLICA IDENTITY NOTHING", name)
	}
	for _, c := range b.Columns {
		if c.Target != nil && *c.Target >= 0 {
			say("ALTER TABLE %s ALTER COLUMN %s SET STATISTICS %d", name, pg.Ident(c.Name), *c.Target)
		}
		if len(c.Options) > 0 {
			say("ALTER TABLE %s ALTER COLUMN %s SET (%s)", name, pg.Ident(c.Name), strings.Join(options("", c.Options), ", "))
		}
	}
	if b.Comment != "" {
		say("COMMENT ON TABLE %s IS %s", name, pg.Literal(b.Comment))
	}
	return list
}

// grants writes one GRANT for each role, column and option; they come sorted so.
func grants(table string, all []grant) []string {
	var list []string
	for len(all) > 0 {
		first, n := all[0], 1
		for n < len(all) && all[n].Role == first.Role && all[n].Column == first.Column && all[n].Grantable == first.Grantable {
			n++
		}
		var privileges []string
		for _, g := range all[:n] {
			p := g.Privilege
			if g.Column != "" {
				p += " (" + pg.Ident(g.Column) + ")"
			}
			privileges = append(privileges, p)
		}
		s := fmt.Sprintf("GRANT %s ON TABLE %s TO %s", strings.Join(slices.Compact(privileges), ", "), table, grantee(first.Role))
		if first.Grantable {
			s += " WITH GRANT OPTION"
		}
		list, all = append(list, s), all[n:]
	}
	return list
}

func grantee(role string) string {
	if role == "" {
		return "PUBLIC"
	}
	return pg.Ident(role)
}

// attach is the statement that others may wait for.
func (d design) attach() string {
	return fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", ident(d.set.Table), ident(d.name), d.set.Key.ForValues(d.want.Range))
}

// move takes the rows of the new range out of the DEFAULT partition.
func (d design) move() string {
	var columns []string
	for _, c := range d.print.Columns {
		if !c.Generated {
			columns = append(columns, pg.Ident(c.Name))
		}
	}
	list := strings.Join(columns, ", ")
	return fmt.Sprintf("WITH moved AS (DELETE FROM ONLY %s WHERE %s RETURNING %s) INSERT INTO %s (%s) SELECT %s FROM moved",
		ident(d.set.Default.Table), d.set.Key.Check(d.want.Range), list, ident(d.name), list, list)
}

// proof is the name of the CHECK that tells the server that the DEFAULT partition holds no row of the new range.
func (d design) proof() string { return parts.Fit(parts.ProofPrefix+d.name.Name, "") }

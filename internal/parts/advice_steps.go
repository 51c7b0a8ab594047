package parts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
)

// before is what is done while others work, and what the keys are then.
func (s *sketch) before() (list, keys []string) {
	list = []string{
		"SET lock_timeout = '2s'", // whoever comes after waits no longer behind a statement that waits itself
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s, ADD CONSTRAINT %[2]s CHECK (%s) NOT VALID", s.table, BoundsCheck, s.key.Check(s.first())),
		"RESET lock_timeout", // building an index waits for old transactions
		fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", s.table, BoundsCheck),
	}
	for _, k := range s.Uniques {
		if s.lacks(k) {
			list = append(list, fmt.Sprintf("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS %s ON %s%s", pg.Ident(s.kept(k.Name)), s.table, s.wider(k)))
			keys = append(keys, fmt.Sprintf("%s is then (%s, %s), no longer (%[2]s)", pg.Ident(k.Name), quoted(k.Columns), pg.Ident(s.key.Column)))
		}
	}
	return list, keys
}

func (s *sketch) first() Range { return Range{Bound{Kind: Min}, s.edge} }

// lacks reports that a key must get the time column.
func (s *sketch) lacks(k unique) bool { return !slices.Contains(k.Columns, s.key.Column) }

// wider is the tail of the index's definition with the time column.
func (s *sketch) wider(k unique) string {
	if !s.lacks(k) {
		return k.Tail
	}
	return strings.Replace(k.Tail, "("+k.List+")", "("+k.List+", "+pg.Ident(s.key.Column)+")", 1)
}

// at is the one transaction in which the new table takes the old one's place.
func (s *sketch) at() []string {
	list := []string{"BEGIN", "SET LOCAL lock_timeout = '2s'", "LOCK TABLE " + s.table + " IN ACCESS EXCLUSIVE MODE"}
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, p := range s.Pointing {
		add("ALTER TABLE %s DROP CONSTRAINT %s", p.Table, pg.Ident(p.Name))
	}
	list = append(list, s.giveWay()...)
	create := fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS) PARTITION BY RANGE (%s)", s.table, s.old, pg.Ident(s.key.Column))
	if s.Method != "" {
		create += " USING " + pg.Ident(s.Method)
	}
	if s.Tablespace != "" {
		create += " TABLESPACE " + pg.Ident(s.Tablespace)
	}
	add("%s", create)
	add("ALTER TABLE %s DROP CONSTRAINT %s", s.table, BoundsCheck)
	list = append(list, s.rebuild()...)
	for _, c := range s.Identity {
		conventional := Fit(s.name, "_"+c.Column+"_seq")
		add("SELECT setval(pg_get_serial_sequence(%s, %s), last_value, is_called) FROM %s", pg.Literal(s.table), pg.Literal(c.Column), pg.Ident(c.Schema, s.kept(c.Name)))
		add("ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY", s.old, pg.Ident(c.Column))
		if c.Name != conventional {
			add("ALTER SEQUENCE %s RENAME TO %s", pg.Ident(c.Schema, conventional), pg.Ident(c.Name))
		}
		list = append(list, replaced(c.Carry, "{seq}", pg.Ident(c.Schema, c.Name))...)
	}
	list = append(list, replaced(s.Carry, "{new}", s.table, "{old}", s.old)...)
	for _, c := range s.Serial {
		add("ALTER SEQUENCE %s OWNED BY %s.%s", pg.Ident(c.Schema, c.Name), s.table, pg.Ident(c.Column))
	}
	add("ALTER TABLE %s ATTACH PARTITION %s %s", s.table, s.old, s.key.ForValues(s.first()))
	list = append(list, s.publish()...)
	for _, p := range s.Pointing {
		add("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", p.Table, pg.Ident(p.Name), p.Definition)
	}
	return append(list, "COMMIT")
}

// giveWay frees the old table's names.
func (s *sketch) giveWay() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, k := range s.Uniques {
		kept := pg.Ident(s.kept(k.Name))
		switch {
		case s.lacks(k) && k.Constraint != "":
			add("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s %s USING INDEX %[3]s%[5]s", s.table, pg.Ident(k.Name), kept, k.Constraint, k.Defer)
		case s.lacks(k):
			add("DROP INDEX %s", pg.Ident(k.Schema, k.Name))
		default:
			add("ALTER INDEX %s RENAME TO %s", pg.Ident(k.Schema, k.Name), kept)
		}
		if k.Replica && s.lacks(k) {
			add("ALTER TABLE %s REPLICA IDENTITY USING INDEX %s", s.table, kept)
		}
	}
	for _, x := range s.Indexes {
		add("ALTER INDEX %s RENAME TO %s", pg.Ident(x.Schema, x.Name), pg.Ident(s.kept(x.Name)))
	}
	for _, x := range s.Statistics {
		add("ALTER STATISTICS %s RENAME TO %s", pg.Ident(x.Schema, x.Name), pg.Ident(s.kept(x.Name)))
	}
	for _, c := range s.Identity {
		add("ALTER SEQUENCE %s RENAME TO %s", pg.Ident(c.Schema, c.Name), pg.Ident(s.kept(c.Name)))
	}
	add("ALTER TABLE %s RENAME TO %s", s.table, pg.Ident(s.oldName))
	return list
}

// rebuild gives the new table its keys, indexes and statistics, under the names that the old one's had. ATTACH matches them.
func (s *sketch) rebuild() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, k := range s.Uniques {
		if tail, ok := strings.CutPrefix(s.wider(k), " USING btree ("); ok && k.Constraint != "" {
			kind := k.Constraint
			if before, after, nulls := strings.Cut(tail, " NULLS NOT DISTINCT"); nulls {
				tail, kind = before+after, kind+" NULLS NOT DISTINCT"
			}
			add("ALTER TABLE %s ADD CONSTRAINT %s %s (%s%s", s.table, pg.Ident(k.Name), kind, tail, k.Defer)
		} else {
			add("CREATE UNIQUE INDEX %s ON %s%s", pg.Ident(k.Name), s.table, s.wider(k))
		}
		list = append(list, replaced(k.Comments, "{new}", s.table)...)
		if k.Replica {
			add("ALTER TABLE %s REPLICA IDENTITY USING INDEX %s", s.table, pg.Ident(k.Name))
		}
	}
	for _, x := range slices.Concat(s.Indexes, s.Statistics) {
		list = append(list, strings.Replace(x.Definition, "{new}", s.table, 1))
		list = append(list, x.Comments...)
	}
	return list
}

// publish puts the new table in the old one's place. Where that would change what is sent of other tables, told says so instead.
func (s *sketch) publish() (list []string) {
	for _, p := range s.Publications {
		if !p.Listed {
			continue
		}
		name := pg.Ident(p.Name)
		if !p.ViaRoot && len(p.Divided) == 0 {
			list = append(list, "ALTER PUBLICATION "+name+" SET (publish_via_partition_root = true)")
		}
		list = append(list, fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s", name, s.old), fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s%s", name, s.table, p.Suffix))
	}
	return list
}

// after is what takes long, and is done while others work again.
func (s *sketch) after() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, p := range s.Pointing {
		add("ALTER TABLE %s VALIDATE CONSTRAINT %s", p.Table, pg.Ident(p.Name))
	}
	for _, v := range s.Views {
		if len(v.Readers) > 0 {
			continue
		}
		view, next := pg.Ident(v.Schema, v.Name), Fit(v.Name, "_new")
		made := pg.Ident(v.Schema, next)
		add("CREATE MATERIALIZED VIEW %s%s AS %s", made, v.With, v.Query)
		swap := []string{"BEGIN", "SET LOCAL lock_timeout = '2s'", "DROP MATERIALIZED VIEW " + view, fmt.Sprintf("ALTER MATERIALIZED VIEW %s RENAME TO %s", made, pg.Ident(v.Name))}
		for _, x := range v.Indexes {
			unique, tail, _ := strings.Cut(x.Definition, "|")
			add("CREATE %sINDEX %s ON %s%s", strings.TrimLeft(unique+" ", " "), pg.Ident(Fit(x.Name, "_new")), made, tail)
			swap = append(swap, fmt.Sprintf("ALTER INDEX %s RENAME TO %s", pg.Ident(x.Schema, Fit(x.Name, "_new")), pg.Ident(x.Name)))
			swap = append(swap, x.Comments...)
		}
		list = append(list, replaced(v.Carry, "{view}", made)...)
		add("ANALYZE %s", made)
		list = append(append(list, swap...), "COMMIT")
	}
	return list
}

func replaced(list []string, pairs ...string) []string {
	r := strings.NewReplacer(pairs...)
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = r.Replace(s)
	}
	return out
}

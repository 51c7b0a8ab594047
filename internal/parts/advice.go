package parts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// IndexAdvice is the statement that gives a table an index that begins with its time column. An index that is built by hand alone is drift, which
// apply takes away again.
func IndexAdvice(t config.Table, column string) string {
	return fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s);  -- and declare it in the schema's sources, else it is drift and `pgtender apply` drops it", pg.Ident(t.Schema, t.Name), pg.Ident(column))
}

// Advise says how a relation that is not partitioned becomes a table that a policy with the unit can tend: SQL
// with its own names, which moves no row and makes nobody wait for long; or why it cannot, and what must be done first.
func Advise(ctx context.Context, q pg.Querier, t config.Table, u config.Unit, loc *time.Location) (string, error) {
	f, err := readFacts(ctx, q, t)
	if err != nil {
		return "", err
	}
	const need = "A partition policy needs a table that is PARTITION BY RANGE of one column of type timestamptz, timestamp, date or uuid (UUIDv7)."
	switch {
	case f.Kind != "r":
		return need, nil
	case len(f.Columns) == 0:
		return need + " This one has no column of a time type, nor a uuid with the default uuidv7(): add one first.", nil
	}
	s := newSketch(t, f, u, loc)
	if reasons := append(s.pointedAt(), append(f.Reasons, s.oddIndexes()...)...); len(reasons) > 0 {
		return need + " Before this one can be made such a table:\n- " + strings.Join(reasons, "\n- "), nil
	}
	return need + s.text(), nil
}

// sketch makes the old table the first partition of a new one. The new one gets the old names of all indexes, constraints, statistics and sequences, so
// that the declared table, which differs in its PARTITION BY and its keys alone, is found to be there.
type sketch struct {
	facts
	table, old string // quoted
	suffix     string // of what the old table keeps
	name       string // not quoted
	oldName    string
	key        Key
	edge       Bound
}

func newSketch(t config.Table, f facts, u config.Unit, loc *time.Location) sketch {
	key := Key{f.Columns[0].Name, Type(f.Columns[0].Type)}
	zone := key.Zone(loc)
	edge := key.At(Boundaries(u, key.FromInstant(f.Now, loc), 1, zone)[1])
	s := sketch{facts: f, table: pg.Ident(t.Schema, t.Name), name: t.Name, suffix: "_before_" + stamp(edge.Time, zone), key: key, edge: edge}
	s.oldName = Fit(t.Name, s.suffix)
	s.old = pg.Ident(t.Schema, s.oldName)
	// Those that an earlier attempt has built are built no more.
	s.Uniques = slices.DeleteFunc(s.Uniques, func(x unique) bool {
		return slices.ContainsFunc(f.Uniques, func(k unique) bool { return k.Name != x.Name && s.kept(k.Name) == x.Name })
	})
	return s
}

// kept is what the old table's part is called from then on.
func (s *sketch) kept(name string) string { return Fit(name, s.suffix) }

// pointedAt says why foreign keys to the table cannot go on.
func (s *sketch) pointedAt() (list []string) {
	for _, p := range s.Pointing {
		if !slices.Contains(p.Columns, s.key.Column) {
			list = append(list, fmt.Sprintf("Foreign key %s of %s points to (%s), of which alone nothing is unique in a table that is divided by %s. Let it name that column too, or go without it:\n  ALTER TABLE %s DROP CONSTRAINT %s;",
				pg.Ident(p.Name), p.Table, quoted(p.Columns), pg.Ident(s.key.Column), p.Table, pg.Ident(p.Name)))
		}
	}
	return list
}

// oddIndexes says which unique indexes would need more than the time column added.
func (s *sketch) oddIndexes() (list []string) {
	for _, k := range s.Uniques {
		if !slices.Contains(k.Columns, s.key.Column) && (!k.Plain || !strings.HasPrefix(k.Tail, " USING btree ("+k.List+")")) {
			list = append(list, fmt.Sprintf("Unique index %s (%s) does not hold %s, which a unique index of a table that is divided by it must: drop it, or make one that does.",
				pg.Ident(k.Schema, k.Name), strings.TrimPrefix(k.Tail, " USING "), pg.Ident(s.key.Column)))
		}
	}
	return list
}

// text is the whole of the advice.
func (s *sketch) text() string {
	before, keys := s.before()
	text := " To make it one, by " + pg.Ident(s.key.Column) + ", while it is in use, with the rows that are there as its first partition (new rows up to " +
		s.key.Literal(s.edge) + " only, until `pgtender job run partition` has made the next ones). Should one of them end with a lock timeout, nothing is lost: up to COMMIT, have them printed anew; after it, go on from there:\n" + lines(before) + lines(s.at()) + lines(s.after())
	if len(keys) > 0 {
		text += "A key of a partitioned table holds the partition key: " + strings.Join(keys, "; ") + ".\n"
	}
	if len(s.Columns) > 1 {
		text += "It has more than one column of time, " + columnNames(s.Columns) + "; these statements take the first.\n"
	}
	for _, told := range s.told() {
		text += told + "\n"
	}
	if len(s.Others) > 0 {
		text += "Before COMMIT, see to what is not carried over: " + strings.Join(s.Others, "; ") + ".\n"
	}
	return text + fmt.Sprintf("Declare the table so in the schema's sources too, with PARTITION BY RANGE (%s) and those keys under the same names; then `pgtender plan` finds nothing to change.", pg.Ident(s.key.Column))
}

// told is what a person should know of publications and materialised views.
func (s *sketch) told() (list []string) {
	for _, p := range s.Publications {
		const leafs = "Publication %s sends the rows of partitions under the partitions' own names, which a subscriber must have; "
		switch {
		case p.ViaRoot:
		case !p.Listed:
			list = append(list, fmt.Sprintf(leafs+"it is of all tables (of a schema), so this is left to you: ALTER PUBLICATION %[1]s SET (publish_via_partition_root = true) sends them under the table's name, for each partitioned table that it has.", pg.Ident(p.Name)))
		case len(p.Divided) > 0:
			list = append(list, fmt.Sprintf(leafs+"publish_via_partition_root = true would change that for %s too, so it is not set: set it, or give %s a publication of its own that has it.", pg.Ident(p.Name), strings.Join(p.Divided, ", "), s.table))
		case len(p.Others) > 0:
			list = append(list, fmt.Sprintf("Publication %s gets publish_via_partition_root = true, so that rows go on being sent under the table's name; for its other tables (%s) that changes nothing as long as none is partitioned.", pg.Ident(p.Name), strings.Join(p.Others, ", ")))
		}
	}
	for _, v := range s.Views {
		if len(v.Readers) > 0 {
			list = append(list, fmt.Sprintf("Materialised view %s reads the old table, and %s read it: until all of them are dropped and made again, they show its rows alone.", pg.Ident(v.Schema, v.Name), strings.Join(v.Readers, ", ")))
		}
	}
	return list
}

func columnNames(columns []timeColumn) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return quoted(list)
}

func quoted(columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pg.Ident(c)
	}
	return strings.Join(list, ", ")
}

func lines(statements []string) string {
	if len(statements) == 0 {
		return ""
	}
	return "  " + strings.Join(statements, ";\n  ") + ";\n"
}

package catalog

import (
	"fmt"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Rename is a declared change of name. It is pending while the database has the old name and not the new one; after that the
// declaration means nothing more, and does no harm.
type Rename struct {
	Key   Key        // what is declared, under its new name; of a label, its enum
	Old   string     // the old name, of a routine without its arguments; or the old label
	Label string     // the new label, if it is a label that is renamed
	Pos   config.Pos // where it is declared
}

// New is the new name, of a routine without its arguments.
func (r Rename) New() string {
	if r.Label != "" {
		return r.Label
	}
	return BareName(r.Key)
}

// Difference is what a rename that is still to be done makes of the object.
func (r Rename) Difference() Difference {
	name := "name"
	if r.Label != "" {
		name = "label"
	}
	return Difference{Key: r.Key, Change: Renamed, Deltas: []Delta{{Name: name, Live: r.Old, Declared: r.New()}}}
}

// SQL renames from the old name to the new one. What the object is part of, and what its arguments are, has its new name then.
func (r Rename) SQL() string { return r.statement(r.Old, r.New()) }

// Undo is the way back, while all else has its new name.
func (r Rename) Undo() string { return r.statement(r.New(), r.Old) }

func (r Rename) statement(from, to string) string {
	k := r.Key
	if r.Label != "" {
		return fmt.Sprintf("ALTER TYPE %s RENAME VALUE %s TO %s", pg.Ident(k.Schema, k.Name), strings.TrimSpace(pg.Literal(from)), strings.TrimSpace(pg.Literal(to)))
	}
	switch k.Kind {
	case Column:
		return fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", pg.Ident(k.Schema, k.Table), pg.Ident(from), pg.Ident(to))
	case Constraint:
		return fmt.Sprintf("ALTER TABLE %s RENAME CONSTRAINT %s TO %s", pg.Ident(k.Schema, k.Table), pg.Ident(from), pg.Ident(to))
	case Trigger, Policy, Rule:
		return fmt.Sprintf("ALTER %s %s ON %s RENAME TO %s", strings.ToUpper(string(k.Kind)), pg.Ident(from), pg.Ident(k.Schema, k.Table), pg.Ident(to))
	case Partition:
		return fmt.Sprintf("ALTER TABLE %s RENAME TO %s", pg.Ident(k.Schema, from), pg.Ident(to))
	case Function, Procedure, Aggregate:
		return fmt.Sprintf("ALTER %s %s%s RENAME TO %s", strings.ToUpper(string(k.Kind)), pg.Ident(k.Schema, from), arguments(k), pg.Ident(to))
	case EventTrigger:
		return fmt.Sprintf("ALTER EVENT TRIGGER %s RENAME TO %s", pg.Ident(from), pg.Ident(to))
	case Enum, Composite, Range:
		return fmt.Sprintf("ALTER TYPE %s RENAME TO %s", pg.Ident(k.Schema, from), pg.Ident(to))
	}
	return fmt.Sprintf("ALTER %s %s RENAME TO %s", strings.ToUpper(string(k.Kind)), pg.Ident(k.Schema, from), pg.Ident(to))
}

func isRoutine(k Kind) bool { return k == Function || k == Procedure || k == Aggregate }

// BareName is the name of an object, of a routine without its arguments.
func BareName(k Key) string {
	if !isRoutine(k.Kind) {
		return k.Name
	}
	if strings.HasPrefix(k.Name, `"`) {
		n := opaque(k.Name)
		return strings.ReplaceAll(k.Name[1:n-1], `""`, `"`)
	}
	name, _, _ := strings.Cut(k.Name, "(")
	return name
}

// WithName is the name in the key of an object that is called so; a routine keeps its arguments.
func WithName(k Key, bare string) string {
	if !isRoutine(k.Kind) {
		return bare
	}
	if strings.Trim(bare, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || bare[0] <= '9' {
		bare = pg.Ident(bare)
	}
	return bare + arguments(k)
}

// arguments are those of a routine's key, in parentheses.
func arguments(k Key) string {
	if strings.HasPrefix(k.Name, `"`) {
		return k.Name[opaque(k.Name):]
	}
	return strings.TrimPrefix(k.Name, BareName(k))
}

// OwnerColumn is the column that a sequence is owned by, if it is.
func OwnerColumn(sequence *Object) (Key, bool) {
	var parts []string
	for rest := sequence.Fact(FactOwnedBy); rest != ""; {
		end := strings.IndexByte(rest, '.')
		if rest[0] == '"' {
			end = opaque(rest)
		}
		if end < 0 || end > len(rest) {
			end = len(rest)
		}
		part := rest[:end]
		if strings.HasPrefix(part, `"`) {
			part = strings.ReplaceAll(part[1:len(part)-1], `""`, `"`)
		}
		parts, rest = append(parts, part), strings.TrimPrefix(rest[end:], ".")
	}
	if len(parts) != 3 {
		return Key{}, false
	}
	return Key{Kind: Column, Schema: parts[0], Table: parts[1], Name: parts[2]}, true
}

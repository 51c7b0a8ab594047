package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Kind is a kind of object that pgtender compares and plans.
type Kind string

// The managed kinds. Column, Constraint, Trigger, Policy and Rule belong to a table or view: Key.Table names it.
// Index has Key.Table too, though its name is unique in its schema.
const (
	Schema    Kind = "schema"
	Extension Kind = "extension"
	Enum      Kind = "enum"
	Domain    Kind = "domain"
	Composite Kind = "composite type"
	Range     Kind = "range type"
	Collation Kind = "collation"
	Sequence  Kind = "sequence" // stand-alone or OWNED BY; those of identity columns are part of their column
	Table     Kind = "table"    // also partitioned
	// Partition is one that the sources declare; see Scope.Partitioned.
	Partition  Kind = "partition"
	Column     Kind = "column"
	Constraint Kind = "constraint" // primary key, unique, exclusion, foreign key, check, not null
	Index      Kind = "index"      // those that no constraint made
	Statistics Kind = "statistics"
	View       Kind = "view"
	MatView    Kind = "materialized view"
	Function   Kind = "function"
	Procedure  Kind = "procedure"
	Aggregate  Kind = "aggregate"
	// EventTrigger is one whose function is in a managed schema.
	EventTrigger Kind = "event trigger"
	Trigger      Kind = "trigger"
	Policy       Kind = "policy"
	Rule         Kind = "rule"
	// DefaultPrivileges are what ALTER DEFAULT PRIVILEGES says for one role, one schema or all, and one kind of objects.
	DefaultPrivileges Kind = "default privileges"
)

// Kinds are all managed kinds.
func Kinds() []Kind {
	return []Kind{Schema, Extension, Enum, Domain, Composite, Range, Collation, Sequence, Table, Partition, Column, Constraint, Index, Statistics,
		View, MatView, Function, Procedure, Aggregate, EventTrigger, Trigger, Policy, Rule, DefaultPrivileges}
}

// Key identifies an object within one database.
type Key struct {
	Kind   Kind   `json:"kind"`
	Schema string `json:"schema,omitempty"` // empty for a schema or an extension
	Table  string `json:"table,omitempty"`  // the table or view that it belongs to, or empty
	Name   string `json:"name"`             // of a routine with its argument types: f(integer, text)
}

// String is how messages name the object: index public.orders.orders_at_idx, function public.f(integer).
func (k Key) String() string {
	parts := []string{}
	for _, p := range []string{k.Schema, k.Table, k.Name} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return string(k.Kind) + " " + strings.Join(parts, ".")
}

// Owner is the key of the table that k belongs to, or k itself. The table's kind is not known from a part, so
// Owner says Table also for a view's.
func (k Key) Owner() Key {
	if k.Table == "" {
		return k
	}
	return Key{Kind: Table, Schema: k.Schema, Name: k.Table}
}

// CompareKeys orders keys: by schema, table, name, kind.
func CompareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
}

// Fact is one compared property. An absent fact and an empty one are the same.
type Fact struct{ Name, Value string }

// Fact names. Which kinds carry which is said at the query that reads them.
const (
	FactDefinition = "definition" // what pg_get_…def prints; for constraints without the name, for indexes the whole CREATE INDEX
	FactComment    = "comment"
	FactOptions    = "options" // reloptions, sorted, comma-separated
	FactVersion    = "version" // of an extension
	FactLabels     = "labels"  // of an enum, each quoted as a literal, comma-separated, in order

	FactPartitionKey = "partition by" // pg_get_partkeydef
	FactPersistence  = "persistence"  // "unlogged", or absent
	FactRLS          = "row security" // "enabled", "forced", or absent
	FactReplica      = "replica identity"
	FactInherits     = "inherits"
	FactAccessMethod = "access method"

	FactType        = "type"      // format_type, schema-qualified
	FactNotNull     = "not null"  // "true"; its constraint's other properties are the Constraint's facts
	FactDefault     = "default"   // pg_get_expr
	FactGenerated   = "generated" // "stored" or "virtual"
	FactExpression  = "expression"
	FactIdentity    = "identity"         // "always" or "by default"
	FactSequence    = "sequence options" // of an identity column or a sequence: type, start, increment, min, max, cache, cycle
	FactCollation   = "collation"
	FactStorage     = "storage"
	FactCompression = "compression"
	FactStatTarget  = "statistics target"

	FactConstraintType = "constraint type" // p, u, x, f, c, n as in pg_constraint.contype
	FactValid          = "valid"           // "false" for an invalid index, or a constraint NOT VALID
	FactEnabled        = "enabled"         // of a trigger or rule: origin is absent; "disabled", "replica", "always"
	FactOwnedBy        = "owned by"        // of a sequence: schema.table.column, quoted where needed

	FactSchema       = "schema"        // that an extension lives in
	FactTablespace   = "tablespace"    // absent: the database's default
	FactClustered    = "clustered"     // "true": CLUSTER ON this index, or this constraint's
	FactSequenceName = "sequence name" // of an identity column, when it is not table_column_seq
	FactInherited    = "inherited"     // of a column or constraint of an INHERITS child: "true", or "merged" when declared there too
	FactDependsOn    = "depends on extension"
	FactNotNullName  = "not null name"    // of a domain's NOT NULL
	FactIndexComment = "index comment"    // of a constraint's index: COMMENT ON INDEX
	FactPrivileges   = "privileges"       // "compared" where the sources declare privileges of the object
	FactAttributes   = "attributes"       // of a composite type: as in CREATE TYPE
	FactPartitionOf  = "partition of"     // of a partition: the parent, quoted where needed
	FactBound        = "bound"            // of a partition: FOR VALUES …, or DEFAULT
	FactSeqComment   = "sequence comment" // of an identity column's sequence
)

// Prefixes of fact names; the rest of the name is a column or constraint, not quoted.
const (
	PrefixConstraint        = "constraint "            // of a domain: as pg_get_constraintdef prints it
	PrefixConstraintComment = "comment on constraint " // of a domain
	PrefixColumn            = "column "                // of a view or materialised view: its other properties, as ALTER … ALTER COLUMN takes them
	PrefixColumnComment     = "comment on column "     // of a view or materialised view
	PrefixPrivileges        = "privileges of "         // a role, quoted where needed, or PUBLIC: sorted, comma-separated, with columns; the owner's own are left out
	PrefixStatTarget        = "statistics target of column "
)

// Object is one object with all that is compared.
type Object struct {
	Key   Key
	Facts []Fact // sorted by name, none empty
	// Needs are the managed objects it depends on, from pg_depend, sorted; part of no comparison.
	Needs []Key
	// Notes are for the planner only and never compared: size, population, the table's estimated rows.
	Notes Notes
}

// Notes are measurements of the live object.
type Notes struct {
	Rows  int64 // reltuples; -1 when never analysed; of a partitioned table the sum over the partitions that were
	Bytes int64 // relpages × block size: safe while somebody holds a strong lock; never negative; summed likewise
	// Of a partitioned table: that it is one, how many partitions hold rows, and how many of them were never analysed.
	Partitioned     bool
	Leaves, Unknown int

	Position int // attnum of a column
	// Like is the live table's column that a declared column of its archive is made like: archived rows get its default.
	Like      Key
	Using     string // of a declared column: how the values become ones of its type, if the sources say
	Populated bool   // of a materialised view
	// Columns are what a view returns, each with type and collation, in order: CREATE OR REPLACE can only append.
	Columns []string
	// Restore are the statements that give a view, routine or column its owner and privileges back after it was made again.
	Restore []string
}

// Fact returns the named fact's value, or "".
func (o *Object) Fact(name string) string {
	for _, f := range o.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Child is a partition, whether it is compared or not: those below a table under a policy are the policy's, others are objects
// where the sources declare any of their table's, and else Unmanaged.
type Child struct {
	Parent, Table Key
	Bound         string // pg_get_expr(relpartbound)
	Leaf          bool
}

// Relation is one of a schema that holds compared partitions.
type Relation struct {
	Schema, Name string
	Table        string // of an index of a compared partition: that one
	Of           string // the parent's index that it is part of, or empty
	Definition   string // of such an index that is part of none
}

// Unmanaged is an object that pgtender cannot compare: of a kind that it does not know yet.
// In the sources it is refused; in the target it is listed.
type Unmanaged struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
	// Outside says that it is in no managed schema, or a right, which whoever declares none leaves to others: then it is named, and no
	// difference.
	Outside bool `json:"outside,omitempty"`
}

func (u Unmanaged) String() string { return u.Kind + " " + u.Name }

// Snapshot is the managed part of one database at one moment.
type Snapshot struct {
	Objects   []Object    // sorted by key
	Unmanaged []Unmanaged // sorted
	LeftAlone []string    // what an exclude pattern or a policy keeps out, sorted; "table public.legacy_a"
	Children  []Child     // sorted by parent, then name
	// Relations tell the names of the indexes of compared partitions, and which others are taken; of a declaration only those that a
	// parent's index made. They are compared with nothing.
	Relations []Relation
	// Of a database whose privileges are compared: the roles of the server, and those that get default privileges; quoted where needed.
	Roles, DefaultGrantees []string
}

// Lookup finds an object by key.
func (s *Snapshot) Lookup(k Key) (*Object, bool) {
	i, ok := slices.BinarySearchFunc(s.Objects, k, func(o Object, k Key) int { return CompareKeys(o.Key, k) })
	if !ok {
		return nil, false
	}
	return &s.Objects[i], true
}

// Fingerprint is equal for two snapshots exactly when their keys and facts are.
func (s *Snapshot) Fingerprint() string {
	h := sha256.New()
	for _, o := range s.Objects {
		fmt.Fprintf(h, "%q %q %q %q\n", o.Key.Kind, o.Key.Schema, o.Key.Table, o.Key.Name)
		for _, f := range o.Facts {
			fmt.Fprintf(h, "\t%q %q\n", f.Name, f.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

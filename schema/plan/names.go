package plan

import (
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// name is the object's own qualified name.
func name(k catalog.Key) string {
	switch k.Kind {
	case catalog.Schema, catalog.Extension, catalog.EventTrigger:
		return pg.Ident(k.Name)
	case catalog.Function, catalog.Procedure, catalog.Aggregate:
		return pg.Ident(k.Schema) + "." + k.Name // the server printed the rest, quoted, with its argument types
	}
	return pg.Ident(k.Schema, k.Name)
}

func isRoutine(k catalog.Kind) bool {
	return k == catalog.Function || k == catalog.Procedure || k == catalog.Aggregate
}

func isType(k catalog.Kind) bool {
	return k == catalog.Enum || k == catalog.Domain || k == catalog.Composite || k == catalog.Range
}

// table is the qualified name of the table or view that the object belongs to.
func table(k catalog.Key) string { return pg.Ident(k.Schema, k.Table) }

func tableWords(k catalog.Key) string { return k.Schema + "." + k.Table }

// target is the object as COMMENT ON, DROP and ALTER … DEPENDS name it.
func (b *builder) target(k catalog.Key) string {
	words := map[catalog.Kind]string{catalog.Schema: "SCHEMA", catalog.Extension: "EXTENSION", catalog.Enum: "TYPE", catalog.Domain: "DOMAIN",
		catalog.Sequence: "SEQUENCE", catalog.Table: "TABLE", catalog.Column: "COLUMN", catalog.Constraint: "CONSTRAINT",
		catalog.Index: "INDEX", catalog.Statistics: "STATISTICS", catalog.View: "VIEW", catalog.MatView: "MATERIALIZED VIEW",
		catalog.Function: "FUNCTION", catalog.Procedure: "PROCEDURE", catalog.Trigger: "TRIGGER", catalog.Policy: "POLICY", catalog.Rule: "RULE",
		catalog.Partition: "TABLE", catalog.Composite: "TYPE", catalog.Range: "TYPE", catalog.Collation: "COLLATION", catalog.Aggregate: "AGGREGATE", catalog.EventTrigger: "EVENT TRIGGER"}
	switch k.Kind {
	case catalog.Column:
		return words[k.Kind] + " " + pg.Ident(k.Schema, k.Table, k.Name)
	case catalog.Constraint, catalog.Trigger, catalog.Policy, catalog.Rule:
		return words[k.Kind] + " " + pg.Ident(k.Name) + " ON " + table(k)
	}
	return words[k.Kind] + " " + name(k)
}

func on(lock, what string) string { return lock + " on " + what }

// The locks that statements take; PostgreSQL 18, "Explicit Locking" and the page of each command.
const (
	accessExclusive      = "ACCESS EXCLUSIVE"
	shareRowExclusive    = "SHARE ROW EXCLUSIVE"
	share                = "SHARE"
	shareUpdateExclusive = "SHARE UPDATE EXCLUSIVE"
)

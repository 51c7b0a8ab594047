package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// timeTypes are what rows can be placed in time by.
var timeTypes = []string{"timestamp with time zone", "timestamp without time zone", "date"}

// CheckPolicies holds the policies against a schema: their tables and views must be there and of the kind that the
// policy can keep. The error is an *Error with the policies' places. Load does this with the declared schema.
func CheckPolicies(s *catalog.Snapshot, partitions []config.Partition, archives []config.Archive, refreshes []config.Refresh) error {
	return policyProblems(s, partitions, archives, refreshes).err()
}

func policyProblems(s *catalog.Snapshot, partitions []config.Partition, archives []config.Archive, refreshes []config.Refresh) problems {
	var wrong problems
	for _, p := range partitions {
		checkPartition(s, p, &wrong)
	}
	for _, a := range archives {
		if !a.Partitioned {
			checkRowArchive(s, a, &wrong)
		}
	}
	for _, r := range refreshes {
		if _, ok := s.Lookup(catalog.Key{Kind: catalog.MatView, Schema: r.View.Schema, Name: r.View.Name}); ok || r.View.Name == "*" {
			continue
		}
		if _, view := s.Lookup(catalog.Key{Kind: catalog.View, Schema: r.View.Schema, Name: r.View.Name}); view {
			wrong.add(r.Pos, "refresh %q: %s is a view; only materialised views are refreshed", r.View.Name, r.View)
			continue
		}
		wrong.add(r.Pos, "refresh %q: no source declares a materialised view %s%s", r.View.Name, r.View, leftAlone(s, r.View))
	}
	return wrong
}

func checkPartition(s *catalog.Snapshot, p config.Partition, wrong *problems) {
	title := fmt.Sprintf("partition %q: ", p.Table.Name)
	table, ok := s.Lookup(catalog.TableKey(p.Table.Schema, p.Table.Name))
	if !ok {
		wrong.add(p.Pos, "%s%s", title, noTable(s, p.Table))
		return
	}
	key := table.Fact(catalog.FactPartitionKey)
	if key == "" {
		wrong.add(p.Pos, "%stable %s is not partitioned; declare it with PARTITION BY RANGE over a time column", title, p.Table)
		return
	}
	column, ok := RangeColumn(key)
	if !ok {
		wrong.add(p.Pos, "%stable %s is partitioned by %s; only RANGE over one column can be kept", title, p.Table, key)
		return
	}
	typ := columnType(s, p.Table, column)
	if typ == "" {
		wrong.add(p.Pos, "%stable %s is partitioned by an expression, %s; only RANGE over one column can be kept", title, p.Table, key)
	} else if !slices.Contains(append([]string{"uuid"}, timeTypes...), typ) {
		wrong.add(p.Pos, "%stable %s is partitioned by %s, which is %s; only timestamps, dates and UUIDv7 have a place in time", title, p.Table, column, typ)
	}
}

func checkRowArchive(s *catalog.Snapshot, a config.Archive, wrong *problems) {
	title := fmt.Sprintf("archive %q: ", a.Table.Name)
	table, ok := s.Lookup(catalog.TableKey(a.Table.Schema, a.Table.Name))
	switch {
	case !ok:
		wrong.add(a.Pos, "%s%s", title, noTable(s, a.Table))
		return
	case table.Fact(catalog.FactPartitionKey) != "":
		wrong.add(a.Pos, "%stable %s is partitioned: put an archive block into its partition block", title, a.Table)
		return
	}
	switch typ := columnType(s, a.Table, a.Column); {
	case typ == "":
		wrong.add(a.Pos, "%stable %s has no column %q", title, a.Table, a.Column)
	case !slices.Contains(timeTypes, typ):
		wrong.add(a.Pos, "%scolumn %q of table %s is %s; only timestamps and dates have a place in time", title, a.Column, a.Table, typ)
	}
}

func columnType(s *catalog.Snapshot, t config.Table, column string) string {
	o, ok := s.Lookup(catalog.Key{Kind: catalog.Column, Schema: t.Schema, Table: t.Name, Name: column})
	if !ok {
		return ""
	}
	typ := o.Fact(catalog.FactType)
	if i := strings.IndexByte(typ, '('); i >= 0 { // timestamp(3) with time zone
		if j := strings.IndexByte(typ[i:], ')'); j >= 0 {
			typ = typ[:i] + typ[i+j+1:]
		}
	}
	return typ
}

// RangeColumn is the one column of a RANGE partition key as pg_get_partkeydef prints it; not ok for another
// strategy or several columns. Of an expression it is no column's name.
func RangeColumn(key string) (string, bool) {
	inner, ok := strings.CutPrefix(key, "RANGE (")
	if !ok {
		return "", false
	}
	inner = strings.TrimSuffix(inner, ")")
	if quoted, ok := strings.CutPrefix(inner, `"`); ok {
		name, rest := "", quoted
		for {
			before, after, found := strings.Cut(rest, `"`)
			if !found {
				return "", false
			}
			name += before
			if !strings.HasPrefix(after, `"`) {
				return name, !strings.Contains(after, ",")
			}
			name, rest = name+`"`, after[1:]
		}
	}
	if !strings.Contains(inner, "(") && strings.Contains(inner, ",") {
		return "", false
	}
	name, _, _ := strings.Cut(inner, " ") // an operator class or collation may follow
	return name, true
}

// noTable says why there is no table of that name.
func noTable(s *catalog.Snapshot, t config.Table) string {
	for _, kind := range []catalog.Kind{catalog.View, catalog.MatView, catalog.Sequence} {
		if _, ok := s.Lookup(catalog.Key{Kind: kind, Schema: t.Schema, Name: t.Name}); ok {
			return fmt.Sprintf("%s is a %s, not a table", t, kind)
		}
	}
	return fmt.Sprintf("no source declares a table %s%s", t, leftAlone(s, t))
}

func leftAlone(s *catalog.Snapshot, t config.Table) string {
	for _, what := range s.LeftAlone {
		if strings.HasSuffix(what, " "+t.String()) {
			return " (it is excluded)"
		}
	}
	return ""
}

// verifyVirtual holds the snapshot against the VIRTUAL columns of the HCL files: Atlas had no part in them.
func verifyVirtual(s *catalog.Snapshot, virtuals []virtualColumn) error {
	var wrong problems
	for _, v := range virtuals {
		o, ok := s.Lookup(catalog.Key{Kind: catalog.Column, Schema: v.schema, Table: v.table, Name: v.column})
		if ok && o.Fact(catalog.FactGenerated) != "virtual" {
			wrong.add(v.pos, "column %s.%s.%s was declared VIRTUAL and came out as %q: this is a fault of pgtender", v.schema, v.table, v.column, o.Fact(catalog.FactGenerated))
		}
	}
	return wrong.err()
}

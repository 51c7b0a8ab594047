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
		checkPartition(s, p, partitions, &wrong)
	}
	for _, a := range archives {
		if a.Partitioned {
			checkArchive(s, a, &wrong)
		} else {
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

func checkPartition(s *catalog.Snapshot, p config.Partition, all []config.Partition, wrong *problems) {
	title := fmt.Sprintf("partition %q: ", p.Table.Name)
	table := divided(s, p.Table)
	if table == nil {
		wrong.add(p.Pos, "%s%s", title, noTable(s, p.Table))
		return
	}
	for up := table; up != nil; {
		of := parentOf(s, up)
		if i := slices.IndexFunc(all, func(o config.Partition) bool { return o.Table == of }); i >= 0 {
			wrong.add(p.Pos, "%s%s is a branch of %s, of which the policy at %s tends every branch: keep one of them", title, p.Table, of, all[i].Pos)
			return
		}
		up = divided(s, of)
	}
	if why := notTended(s, table); why != "" {
		wrong.add(p.Pos, "%stable %s %s", title, p.Table, why)
	}
}

// notTended says why a policy can keep partitions neither of a table nor of its branches; "": it can.
func notTended(s *catalog.Snapshot, table *catalog.Object) string {
	why := notByTime(s, table)
	if why == "" {
		return ""
	}
	branches, key := branchesOf(s, nameOf(table)), table.Fact(catalog.FactPartitionKey)
	switch {
	case slices.ContainsFunc(branches, func(b *catalog.Object) bool { return notByTime(s, b) == "" }):
		return ""
	case len(branches) > 0:
		return why + ", and none of its declared branches is"
	case !strings.HasPrefix(key, "LIST ") && !strings.HasPrefix(key, "HASH "):
		return why
	case timeColumns(s, rootOf(s, table), key):
		return "" // its branches are made elsewhere
	}
	return why + ", and it has no other column that its branches could be divided by"
}

// checkArchive wants a table that is itself divided by time.
func checkArchive(s *catalog.Snapshot, a config.Archive, wrong *problems) {
	table := divided(s, a.Table)
	if table == nil || notByTime(s, table) == "" || notTended(s, table) != "" {
		return // or the policy around it is told
	}
	branch := "events_eu"
	for _, b := range branchesOf(s, a.Table) {
		if notByTime(s, b) == "" {
			branch = b.Key.Name
			break
		}
	}
	wrong.add(a.Pos, "archive of %s: its branches are divided by time, and an archive has no branches: in place of this partition block, give each branch one of its own, "+
		`such as partition %q { … archive { … into = %q } }`, a.Table, branch, branch+"_archive")
}

// divided is the table, or declared partition, of that name; nil: there is none.
func divided(s *catalog.Snapshot, t config.Table) *catalog.Object {
	for _, kind := range []catalog.Kind{catalog.Table, catalog.Partition} {
		if o, ok := s.Lookup(catalog.Key{Kind: kind, Schema: t.Schema, Name: t.Name}); ok {
			return o
		}
	}
	return nil
}

// parentOf is the table that a declared partition is one of; of a table none.
func parentOf(s *catalog.Snapshot, o *catalog.Object) (t config.Table) {
	if o.Key.Kind == catalog.Partition {
		for _, c := range s.Children {
			if c.Table.Schema == o.Key.Schema && c.Table.Name == o.Key.Name {
				return config.Table{Schema: c.Parent.Schema, Name: c.Parent.Name}
			}
		}
	}
	return t
}

// rootOf is the topmost table: a declared partition has its columns.
func rootOf(s *catalog.Snapshot, o *catalog.Object) config.Table {
	for o.Key.Kind == catalog.Partition {
		up := divided(s, parentOf(s, o))
		if up == nil {
			break
		}
		o = up
	}
	return nameOf(o)
}

func nameOf(o *catalog.Object) config.Table {
	return config.Table{Schema: o.Key.Schema, Name: o.Key.Name}
}

// branchesOf are the declared partitions below a table, at all depths, that are divided further.
func branchesOf(s *catalog.Snapshot, t config.Table) (list []*catalog.Object) {
	for i := range s.Objects {
		if o := &s.Objects[i]; o.Key.Kind == catalog.Partition && o.Fact(catalog.FactPartitionKey) != "" && parentOf(s, o) == t {
			list = append(list, o)
			list = append(list, branchesOf(s, nameOf(o))...)
		}
	}
	return list
}

// notByTime says why the partitions of a table cannot be counted in time; "": they can.
func notByTime(s *catalog.Snapshot, table *catalog.Object) string {
	key := table.Fact(catalog.FactPartitionKey)
	if key == "" {
		return "is not partitioned; declare it with PARTITION BY RANGE over a time column"
	}
	column, ok := RangeColumn(key)
	if !ok {
		return fmt.Sprintf("is partitioned by %s; only RANGE over one column can be kept", key)
	}
	typ := columnType(s, rootOf(s, table), column)
	switch {
	case typ == "":
		return fmt.Sprintf("is partitioned by an expression, %s; only RANGE over one column can be kept", key)
	case !slices.Contains(append([]string{"uuid"}, timeTypes...), typ):
		return fmt.Sprintf("is partitioned by %s, which is %s; only timestamps, dates and UUIDv7 have a place in time", column, typ)
	}
	return ""
}

// timeColumns reports whether the table has a column that partitions can be counted by, besides those of its own key.
func timeColumns(s *catalog.Snapshot, t config.Table, key string) bool {
	_, own, _ := strings.Cut(strings.TrimSuffix(key, ")"), "(")
	taken := strings.Split(strings.ReplaceAll(own, `"`, ""), ", ")
	return slices.ContainsFunc(s.Objects, func(o catalog.Object) bool {
		return o.Key.Kind == catalog.Column && o.Key.Schema == t.Schema && o.Key.Table == t.Name && !slices.Contains(taken, o.Key.Name) &&
			slices.Contains(append([]string{"uuid"}, timeTypes...), columnType(s, t, o.Key.Name))
	})
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
	for _, k := range o.Needs { // a domain counts as the type that it is over
		if d, ok := s.Lookup(k); ok && k.Kind == catalog.Domain && strings.ReplaceAll(typ, `"`, "") == k.Schema+"."+k.Name {
			typ = d.Fact(catalog.FactType)
			break
		}
	}
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

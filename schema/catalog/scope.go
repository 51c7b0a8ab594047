package catalog

import (
	"path"
	"slices"
	"strings"
)

// OwnSchema is where pgtender keeps its own tables; it is never managed, whatever a scope says.
const OwnSchema = "pgtender"

// Scope says which part of a database is read.
type Scope struct {
	// Schemas are the managed ones. System schemas and pgtender's own are left out even when listed.
	Schemas []string
	// Exclude are patterns of what is left alone: "public.legacy_*" (a table with all its parts, a view, a
	// sequence, a type, a routine by its name without arguments, an index, an extension), "legacy" (a whole schema),
	// "public.orders.tmp_*" (parts of a table: columns, constraints, indexes, triggers, policies, rules).
	// *, ? and [abc] stand for characters within one part.
	Exclude []string
	// Policies are the partitioned tables whose partitions a policy makes, and the archive parents.
	// What is below them becomes Children.
	Policies []Key
	// Extensions are those that are compared, wherever they live; others are left alone. Nil: all are read.
	Extensions []string
	// AnyVersion are extensions whose version nobody declared, so that an upgrade of the server's packages is no difference.
	AnyVersion []string
	// Partitioned are tables, and partitions that are divided further, of which the sources declare partitions, so that those are compared.
	Partitioned []Key
	// Privileges are those that are declared, sorted by key: of these objects they are compared. Declaring reads them of all objects
	// that have an ACL: what is read is a declaration.
	Privileges []Privileges
	Declaring  bool
}

// TableKey is the key of a table.
func TableKey(schema, name string) Key { return Key{Kind: Table, Schema: schema, Name: name} }

func (s *Scope) schemas() []string {
	var out []string
	for _, name := range s.Schemas {
		if name != OwnSchema && name != "information_schema" && !strings.HasPrefix(name, "pg_") && !s.excludes(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Scope) policy(k Key) bool { return slices.Contains(s.Policies, k) }

// excludes reports whether a pattern with as many parts matches the name.
func (s *Scope) excludes(parts ...string) bool {
	return slices.ContainsFunc(s.Exclude, func(pattern string) bool { return matches(pattern, parts) })
}

func matches(pattern string, parts []string) bool {
	globs := strings.Split(pattern, ".")
	if len(globs) != len(parts) {
		return false
	}
	for i, glob := range globs {
		if !glob1(glob, parts[i]) {
			return false
		}
	}
	return true
}

// glob1 is path.Match without its special treatment of slashes. A malformed glob matches only itself.
func glob1(glob, name string) bool {
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, err := path.Match(hide(glob), hide(name))
	return ok || err != nil && glob == name
}

func (s *Scope) extension(name string) bool {
	return s.Extensions == nil || slices.Contains(s.Extensions, name)
}

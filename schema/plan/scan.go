package plan

import (
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// The functions here take apart what the server printed, never what a user wrote.

// scanIdent reads an identifier, quoted or not, from the start of s.
func scanIdent(s string) (name, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " .,();")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			out.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '"':
			out.WriteByte('"')
			i++
		default:
			return out.String(), s[i+1:]
		}
	}
	return out.String(), ""
}

// scanName reads a dotted name.
func scanName(s string) (parts []string, rest string) {
	for {
		var part string
		part, s = scanIdent(s)
		parts = append(parts, part)
		if !strings.HasPrefix(s, ".") {
			return parts, s
		}
		s = s[1:]
	}
}

// index is a CREATE INDEX taken apart.
type index struct {
	unique, only  bool
	name          string
	schema, table string
	rest          string // from USING on
}

// scanIndex reads what pg_get_indexdef printed, or what index.sql wrote.
func scanIndex(definition string) (x index, ok bool) {
	s, ok := strings.CutPrefix(definition, "CREATE ")
	if !ok {
		return x, false
	}
	s, x.unique = strings.CutPrefix(s, "UNIQUE ")
	if s, ok = strings.CutPrefix(s, "INDEX "); !ok {
		return x, false
	}
	s = strings.TrimPrefix(s, "CONCURRENTLY ")
	x.name, s = scanIdent(s)
	if s, ok = strings.CutPrefix(s, " ON "); !ok {
		return x, false
	}
	s, x.only = strings.CutPrefix(s, "ONLY ")
	table, s := scanName(s)
	if len(table) != 2 || !strings.HasPrefix(s, " USING ") {
		return x, false
	}
	x.schema, x.table, x.rest = table[0], table[1], s[1:]
	return x, true
}

// SameIndex reports whether two CREATE INDEX statements, CONCURRENTLY or not, make the same index.
func SameIndex(a, b string) bool {
	x, okX := scanIndex(a)
	y, okY := scanIndex(b)
	return okX && okY && x == y
}

// sql writes the statement again.
func (x index) sql(concurrently bool) string {
	out := "CREATE "
	if x.unique {
		out += "UNIQUE "
	}
	out += "INDEX "
	if concurrently {
		out += "CONCURRENTLY "
	}
	out += pg.Ident(x.name) + " ON "
	if x.only {
		out += "ONLY "
	}
	return out + pg.Ident(x.schema, x.table) + " " + x.rest
}

// splitList splits a list of literals, or of anything that contains strings and parentheses, at its commas.
func splitList(s string) []string {
	var out []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\'', '"':
			escaped := s[i] == '\'' && i > 0 && (s[i-1] == 'E' || s[i-1] == 'e')
			i = closing(s, i, escaped)
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		out = append(out, last)
	}
	return out
}

// closing is the index of the quote that ends the string which starts at i.
func closing(s string, i int, escaped bool) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch {
		case escaped && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i
		}
	}
	return len(s) - 1
}

// splitOptions reads "fillfactor=70, toast.autovacuum_enabled=false" into pairs. A comma inside a value is not
// taken for a separator unless a name and an equals sign follow.
func splitOptions(s string) [][2]string {
	var out [][2]string
	for _, part := range strings.Split(s, ", ") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case ok && isOptionName(name):
			out = append(out, [2]string{name, value})
		case len(out) > 0:
			out[len(out)-1][1] += ", " + part
		}
	}
	return out
}

func isOptionName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.") == ""
}

// partitionColumns are all identifiers in a table's partition key: its columns, and some more that do no harm.
func partitionColumns(table *catalog.Object) []string {
	var out []string
	s := table.Fact(catalog.FactPartitionKey)
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\'':
			i = closing(s, i, i > 0 && s[i-1] == 'E') + 1
		case c == '"' || c == '_' || c >= 'a' && c <= 'z' || c >= 0x80:
			name, rest := scanIdent(s[i:])
			out = append(out, name)
			i = len(s) - len(rest)
		default:
			i++
		}
	}
	return out
}

// notNullColumn is the column of a NOT NULL constraint's definition, and what follows it (NO INHERIT, NOT VALID).
func notNullColumn(definition string) (column, suffix string, ok bool) {
	s, ok := strings.CutPrefix(definition, "NOT NULL ")
	if !ok {
		return "", "", false
	}
	column, suffix = scanIdent(s)
	return column, strings.TrimSpace(suffix), true
}

package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// changedMeaning tells what running code meets when an object is made again in another form; empty when it is made again only
// for what it depends on, or nobody can tell the difference.
func (b *builder) changedMeaning(k catalog.Key, live *catalog.Object) string {
	want := b.wantObject(k)
	if want == nil || !b.differsIn(k, catalog.FactDefinition) {
		return ""
	}
	switch k.Kind {
	case catalog.View, catalog.MatView:
		// What a column below it changes its type to, that change itself warns of.
		follows := slices.ContainsFunc(live.Needs, func(n catalog.Key) bool { return b.retyped(n) || b.goes(n) })
		return changedColumns(k, live.Notes.Columns, want.Notes.Columns, follows)
	case catalog.Policy:
		return "rows that were hidden or refused may be let through, and others hidden or refused"
	case catalog.Function, catalog.Procedure:
		return "its result, its parameters' names or their defaults change: calls that rely on them fail afterwards"
	}
	return ""
}

// changedColumns tells which columns of a view readers lose, or see with another type or in another place; follows: the types
// change with those of what it reads.
func changedColumns(k catalog.Key, live, want []string, follows bool) string {
	if len(live) <= len(want) && slices.Equal(live, want[:len(live)]) {
		return ""
	}
	var gone, retyped []string
	for _, c := range live {
		name, typ := splitColumn(c)
		i := slices.IndexFunc(want, func(w string) bool { n, _ := splitColumn(w); return n == name })
		if i < 0 {
			gone = append(gone, name)
		} else if _, t := splitColumn(want[i]); t != typ {
			retyped = append(retyped, name+" ("+typ+" becomes "+t+")")
		}
	}
	var out []string
	if len(gone) > 0 {
		out = append(out, k.String()+" loses "+strings.Join(gone, ", ")+": queries that name it fail afterwards")
	}
	if len(retyped) > 0 && !follows {
		out = append(out, k.String()+" changes the type of "+strings.Join(retyped, ", "))
	}
	if len(out) == 0 && len(retyped) == 0 {
		out = append(out, "the columns of "+k.String()+" change places: SELECT * sees another order")
	}
	return strings.Join(out, "; ")
}

// splitColumn takes a view's column, as catalog.Notes has it, apart.
func splitColumn(c string) (name, typ string) {
	quoted, err := strconv.QuotedPrefix(c)
	if err != nil {
		return c, ""
	}
	name, _ = strconv.Unquote(quoted)
	return name, strings.TrimSpace(c[len(quoted):])
}

// newPolicy tells what another policy on a table with row security does.
func newPolicy(definition string) string {
	if strings.HasPrefix(definition, "AS RESTRICTIVE") {
		return "rows that are seen and written today may be hidden or refused"
	}
	return "rows that were hidden or refused may be let through"
}

// sequenceNarrows reports whether a sequence comes to its end earlier.
func sequenceNarrows(live, want string) bool {
	was, is := sequenceValues(live), sequenceValues(want)
	number := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n } // the server printed it
	if was[6] == "" && is[6] != "" {
		return true // it did not end before
	}
	if strings.HasPrefix(is[2], "-") {
		return number(is[3]) > number(was[3])
	}
	return number(is[4]) < number(was[4])
}

// narrower is the hazard of a sequence that ends earlier.
func narrower(live, want string) []Hazard {
	if !sequenceNarrows(live, want) {
		return nil
	}
	return []Hazard{{BreaksCode, "the sequence comes to its end earlier; nextval fails there"}}
}

// losesDefault is the hazard of a NOT NULL column that has a default no more.
func losesDefault(live, want *catalog.Object) []Hazard {
	if live == nil || live.Fact(catalog.FactDefault) == "" || want.Fact(catalog.FactDefault) != "" || want.Fact(catalog.FactNotNull) == "" ||
		want.Fact(catalog.FactIdentity) != "" || want.Fact(catalog.FactGenerated) != "" {
		return nil
	}
	return []Hazard{{BreaksCode, "inserts that do not name the column fail afterwards"}}
}

package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// indexSets reports whether two indexes differ only in storage parameters that count for what is written from now on, so that
// the index need not be built anew. What its whole shape follows from (BRIN's pages_per_range) does not count so. A partitioned
// table's index has no storage of its own, and PostgreSQL cannot set what its partitions inherit.
func indexSets(live, want *catalog.Object) bool {
	a, okA := scanIndex(live.Fact(catalog.FactDefinition))
	c, okC := scanIndex(want.Fact(catalog.FactDefinition))
	if !okA || !okC || a.only {
		return false
	}
	var old, declared [][2]string
	a.rest, old = cutIndexOptions(a.rest)
	c.rest, declared = cutIndexOptions(c.rest)
	if a != c {
		return false
	}
	for _, o := range slices.Concat(old, declared) {
		if (!hasOption(old, o) || !hasOption(declared, o)) && indexOptionLock(o[0]) == "" {
			return false
		}
	}
	return true
}

// indexOptionLock is the lock on the index that setting a storage parameter takes, or "" where that is not enough. Source:
// access/common/reloptions.c.
func indexOptionLock(option string) string {
	switch option {
	case "fillfactor", "deduplicate_items":
		return shareUpdateExclusive
	case "fastupdate", "gin_pending_list_limit", "autosummarize", "buffering":
		return accessExclusive
	}
	return ""
}

// setIndexOptions sets and resets the storage parameters that differ.
func (b *builder) setIndexOptions(k catalog.Key, live, want *catalog.Object) {
	d, ok := b.delta(k, catalog.FactDefinition)
	if !ok {
		return
	}
	a, _ := scanIndex(live.Fact(catalog.FactDefinition))
	c, _ := scanIndex(want.Fact(catalog.FactDefinition))
	_, old := cutIndexOptions(a.rest)
	_, declared := cutIndexOptions(c.rest)
	alterIndex := func(action string, names []string) {
		lock := shareUpdateExclusive
		for _, n := range names {
			if indexOptionLock(n) == accessExclusive {
				lock = accessExclusive
			}
		}
		b.add(alters, k, Statement{SQL: "ALTER INDEX " + name(k) + " " + action, Reason: describe(d) + "; it counts for what is written from now on",
			Lock: on(lock, "index "+k.Schema+"."+k.Name)})
	}
	if reset := without(optionNames(old), optionNames(declared)); len(reset) > 0 {
		alterIndex("RESET ("+strings.Join(reset, ", ")+")", reset)
	}
	var set, names []string
	for _, o := range declared {
		if !hasOption(old, o) {
			set, names = append(set, o[0]+"="+strings.TrimSpace(pg.Literal(o[1]))), append(names, o[0])
		}
	}
	if len(set) > 0 {
		alterIndex("SET ("+strings.Join(set, ", ")+")", names)
	}
	b.cover(k, d.Name)
}

// cutIndexOptions takes WITH (…) out of what follows an index's table.
func cutIndexOptions(rest string) (without string, options [][2]string) {
	const with = " WITH ("
	depth := 0
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\'', '"':
			i = closing(rest, i, rest[i] == '\'' && i > 0 && rest[i-1] == 'E')
		case '(':
			depth++
		case ')':
			depth--
		case ' ':
			if depth > 0 || !strings.HasPrefix(rest[i:], with) {
				continue
			}
			end := strings.IndexByte(rest[i:], ')') // a parameter's value has none
			if end < 0 {
				return rest, nil
			}
			for _, o := range strings.Split(rest[i+len(with):i+end], ", ") {
				n, v, _ := strings.Cut(o, "=")
				options = append(options, [2]string{n, strings.Trim(v, "'")})
			}
			return rest[:i] + rest[i+end+1:], options
		}
	}
	return rest, nil
}

package plan

import (
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// pairRenames finds constraints and indexes that differ from a declared one only by their name. To rename them
// comes to the same as dropping and building, at no cost. Nothing else is ever taken for a rename.
func (b *builder) pairRenames() {
	extra := map[string][]catalog.Key{}
	for _, k := range b.keys() {
		if d := b.diffs[k]; d != nil && d.Change == catalog.Extra {
			if id := identity(b.liveObject(k)); id != "" {
				extra[id] = append(extra[id], k)
			}
		}
	}
	for _, k := range b.keys() {
		d := b.diffs[k]
		if d == nil || d.Change != catalog.Missing {
			continue
		}
		id := identity(b.wantObject(k))
		if id == "" || len(extra[id]) == 0 {
			continue
		}
		old := extra[id][0]
		extra[id] = extra[id][1:]
		b.renamed[k], b.renamedTo[old] = old, k
	}
}

// identity is equal for two constraints or indexes of one table that differ in nothing but name and comment.
func identity(o *catalog.Object) string {
	k := o.Key
	if k.Kind != catalog.Constraint && k.Kind != catalog.Index || strings.HasSuffix(k.Name, oldSuffix) || strings.HasSuffix(k.Name, newSuffix) {
		return ""
	}
	out := string(k.Kind) + "\x00" + k.Schema + "\x00" + k.Table
	for _, f := range o.Facts {
		value := f.Value
		if f.Name == catalog.FactDefinition && k.Kind == catalog.Index {
			x, ok := scanIndex(value)
			if !ok {
				return ""
			}
			x.name = ""
			value = x.sql(false)
		}
		if f.Name != catalog.FactComment {
			out += "\x00" + f.Name + "\x00" + value
		}
	}
	return out
}

func (b *builder) isRenamed(k catalog.Key) bool {
	_, isNew := b.renamed[k]
	_, isOld := b.renamedTo[k]
	return isNew || isOld
}

func (b *builder) buildRename(k catalog.Key) {
	old, ok := b.renamed[k]
	if !ok {
		return // the old name; filed under the new one
	}
	s := Statement{Reason: "the same as " + old.String() + " but for the name"}
	if k.Kind == catalog.Index {
		s.SQL, s.Lock = "ALTER INDEX "+name(old)+" RENAME TO "+pg.Ident(k.Name), on(shareUpdateExclusive, old.String())
	} else {
		s.SQL = "ALTER TABLE " + table(k) + " RENAME CONSTRAINT " + pg.Ident(old.Name) + " TO " + pg.Ident(k.Name)
		s.Lock = on(accessExclusive, tableWords(k))
	}
	renamed := b.add(alters, k, s)
	b.cover(k)
	b.cover(old)
	b.actions(k).make = append(b.actions(k).make, renamed)
	b.actions(old).alter = append(b.actions(old).alter, renamed)
	if b.liveObject(old).Fact(catalog.FactComment) != b.wantObject(k).Fact(catalog.FactComment) {
		comment := b.comment(k)
		comment.Reason = "the declared comment"
		comment.needs(renamed)
	}
}

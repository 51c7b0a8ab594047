package desired

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// direct gives the directives their objects in the snapshot: it returns the declared renames and notes the conversions of columns.
func (r *run) direct(snap *catalog.Snapshot, directives []directive, wrong *problems) []catalog.Rename {
	var out []catalog.Rename
	for _, d := range directives {
		o, err := d.subject.find(snap)
		if err != nil {
			wrong.add(d.pos, "%s: %v", directivePrefix, err)
			continue
		}
		if d.using != "" {
			r.using[o.Key] = d.using
		}
		if d.from == "" {
			continue
		}
		rename := catalog.Rename{Key: o.Key, Old: d.from, Label: d.subject.label, Pos: d.pos}
		if old, ok := present(snap, rename, o.Key); ok {
			wrong.add(d.pos, "%s is said to be renamed from %s, and the sources declare both: remove the directive, or one of the two; a new object can take the old name once the rename is applied",
				subjectOf(rename), old)
			continue
		}
		out = append(out, rename)
		out = append(out, r.ofArchives(snap, rename)...)
	}
	return order(out)
}

// ofArchives: the archive of a table is not declared, and its columns are renamed with the table's.
func (r *run) ofArchives(snap *catalog.Snapshot, rename catalog.Rename) []catalog.Rename {
	var out []catalog.Rename
	for _, a := range r.o.Archives {
		if k := rename.Key; k.Kind != catalog.Column || a.Table != (config.Table{Schema: k.Schema, Name: k.Table}) {
			continue
		}
		like := rename
		like.Key.Schema, like.Key.Table = a.Into.Schema, a.Into.Name
		if _, ok := snap.Lookup(like.Key); ok {
			out = append(out, like)
		}
	}
	return out
}

func subjectOf(r catalog.Rename) string {
	if r.Label != "" {
		return "label '" + r.Label + "' of " + r.Key.String()
	}
	return r.Key.String()
}

// present looks for the object that a rename is from; here is where the object, or the label's enum, would be in the snapshot.
func present(snap *catalog.Snapshot, r catalog.Rename, here catalog.Key) (string, bool) {
	if r.Label != "" {
		if o, ok := snap.Lookup(here); ok && hasLabel(o, r.Old) {
			return "'" + r.Old + "'", true
		}
		return "", false
	}
	for i := range snap.Objects {
		k := snap.Objects[i].Key
		if k.Kind == here.Kind && k.Schema == here.Schema && k.Table == here.Table && catalog.BareName(k) == r.Old {
			return k.String(), true
		}
	}
	return "", false
}

func hasLabel(o *catalog.Object, label string) bool {
	return strings.Contains(", "+o.Fact(catalog.FactLabels)+",", ", "+strings.TrimSpace(pg.Literal(label))+",")
}

// weight orders renames such that undone one after another each finds all else under its new name: parts before what they are
// parts of, routines before the types of their arguments.
func weight(r catalog.Rename) int {
	switch k := r.Key; {
	case r.Label != "", k.Table != "":
		return 0
	case k.Kind == catalog.Function || k.Kind == catalog.Procedure || k.Kind == catalog.Aggregate:
		return 1
	}
	return 2
}

func order(renames []catalog.Rename) []catalog.Rename {
	slices.SortStableFunc(renames, func(a, b catalog.Rename) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), catalog.CompareKeys(b.Key, a.Key), cmp.Compare(b.Label, a.Label))
	})
	return slices.Compact(renames)
}

// Pending are the declared renames that the database has still to see, in the order in which they are undone. The error is an
// *Error that names those of which the database has both names.
func (r *Result) Pending(live *catalog.Snapshot) ([]catalog.Rename, error) {
	var out []catalog.Rename
	var wrong problems
	names := map[catalog.Key]string{} // declared table → its present name
	for _, rename := range slices.Backward(r.Renames) {
		k := rename.Key
		here := k
		if old, ok := names[catalog.TableKey(k.Schema, k.Table)]; ok && k.Table != "" {
			here.Table = old
		}
		if rename.Label != "" {
			if old, ok := names[k]; ok {
				here.Name = old
			}
		}
		old, before := present(live, rename, here)
		if !before {
			continue
		}
		turned := rename
		turned.Old = rename.New()
		if now, after := present(live, turned, here); after {
			wrong.add(rename.Pos, "%s is declared as renamed from %s, and the database has both, so it cannot be: see what each holds, and drop or rename one of the two by hand",
				now, old)
			continue
		}
		out = append(out, rename)
		names[k] = rename.Old
	}
	return order(append(out, r.serial(live, names)...)), wrong.err()
}

// serial are the sequences of serial columns whose names follow from a renamed table's or column's.
func (r *Result) serial(live *catalog.Snapshot, names map[catalog.Key]string) []catalog.Rename {
	var out []catalog.Rename
	for i := range r.Snapshot.Objects {
		o := &r.Snapshot.Objects[i]
		c, owned := catalog.OwnerColumn(o)
		if o.Key.Kind != catalog.Sequence || !owned || o.Key.Name != catalog.DefaultName(c.Table, c.Name, "seq") {
			continue
		}
		table, column := cmp.Or(names[catalog.TableKey(c.Schema, c.Table)], c.Table), cmp.Or(names[c], c.Name)
		old := catalog.DefaultName(table, column, "seq")
		_, before := live.Lookup(catalog.Key{Kind: catalog.Sequence, Schema: o.Key.Schema, Name: old})
		_, after := live.Lookup(o.Key)
		if old != o.Key.Name && before && !after {
			out = append(out, catalog.Rename{Key: o.Key, Old: old})
		}
	}
	return out
}

// before undoes renames in the scratch database and reads what is declared under the old names.
func (r *run) before(ctx context.Context, renames []catalog.Rename) (*catalog.Snapshot, error) {
	for _, rename := range renames {
		if _, err := r.l.scratch.tx.Exec(ctx, rename.Undo()); err != nil {
			var wrong problems
			wrong.add(rename.Pos, "%s cannot have been renamed from %q: %v", subjectOf(rename), rename.Old, err)
			return nil, wrong.err()
		}
	}
	snap, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	r.note(snap, oldNames(renames))
	return snap, nil
}

// privileges are the declared ones, under the new names and under those before the renames.
func (r *run) privileges(snap *catalog.Snapshot) []catalog.Privileges {
	out := catalog.DeclaredPrivileges(snap)
	old := oldNames(r.renames)
	for _, p := range out {
		if k := old(p.Key); k != p.Key {
			out = append(out, catalog.Privileges{Key: k, Facts: p.Facts})
		}
	}
	slices.SortFunc(out, func(a, b catalog.Privileges) int { return catalog.CompareKeys(a.Key, b.Key) })
	return out
}

// note tells the planner what is said of columns: how values are converted, and which column an archive's is made like. old
// are the names that the snapshot has in place of the declared ones.
func (r *run) note(snap *catalog.Snapshot, old func(catalog.Key) catalog.Key) {
	for k, using := range r.using {
		if o, ok := snap.Lookup(old(k)); ok {
			o.Notes.Using = using
		}
	}
	live := map[config.Table]config.Table{}
	for _, a := range r.o.Archives {
		live[a.Into] = a.Table
	}
	for _, o := range r.declared.Objects {
		k := o.Key
		from, ok := live[config.Table{Schema: k.Schema, Name: k.Table}]
		if !ok || k.Kind != catalog.Column {
			continue
		}
		if o, ok := snap.Lookup(old(k)); ok {
			o.Notes.Like = old(catalog.Key{Kind: catalog.Column, Schema: from.Schema, Table: from.Name, Name: k.Name})
		}
	}
}

// oldNames turns a declared key into the one before the renames.
func oldNames(renames []catalog.Rename) func(catalog.Key) catalog.Key {
	names := map[catalog.Key]string{}
	for _, r := range renames {
		if r.Label == "" {
			names[r.Key] = r.Old
		}
	}
	return func(k catalog.Key) catalog.Key {
		out := k
		if was, ok := names[k]; ok {
			out.Name = catalog.WithName(k, was)
		}
		out.Table = cmp.Or(names[catalog.TableKey(k.Schema, k.Table)], k.Table)
		return out
	}
}

package catalog

import "slices"

// Change says how an object differs.
type Change string

// The changes, from the live database's point of view.
const (
	Missing Change = "missing" // declared, not there
	Extra   Change = "extra"   // there, not declared
	Changed Change = "changed"
	Renamed Change = "renamed" // declared under another name, see Rename
)

// Delta is one fact that differs; a side that lacks it is empty.
type Delta struct{ Name, Live, Declared string }

// Difference is one object that differs between the live database and the declared schema.
type Difference struct {
	Key    Key
	Change Change
	Deltas []Delta // of a changed object, sorted by name
}

// Diff compares the live snapshot with the declared one; the result is sorted by key. Parts of a
// missing or extra table are listed too.
func Diff(live, declared *Snapshot) []Difference {
	var out []Difference
	i, j := 0, 0
	for i < len(live.Objects) || j < len(declared.Objects) {
		switch {
		case j == len(declared.Objects) || i < len(live.Objects) && CompareKeys(live.Objects[i].Key, declared.Objects[j].Key) < 0:
			out = append(out, Difference{Key: live.Objects[i].Key, Change: Extra})
			i++
		case i == len(live.Objects) || CompareKeys(live.Objects[i].Key, declared.Objects[j].Key) > 0:
			out = append(out, Difference{Key: declared.Objects[j].Key, Change: Missing})
			j++
		default:
			if deltas := compare(&live.Objects[i], &declared.Objects[j]); len(deltas) > 0 {
				out = append(out, Difference{Key: live.Objects[i].Key, Change: Changed, Deltas: deltas})
			}
			i, j = i+1, j+1
		}
	}
	return out
}

func compare(live, declared *Object) []Delta {
	var names []string
	for _, f := range slices.Concat(live.Facts, declared.Facts) {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	var out []Delta
	for _, name := range slices.Compact(names) {
		if l, d := live.Fact(name), declared.Fact(name); l != d {
			out = append(out, Delta{name, l, d})
		}
	}
	return out
}

package parts

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/pgtender/pgtender/internal/config"
)

// BoundsCheck is the name of the CHECK that repeats a partition's bounds, so that the server need not scan to attach it
// again elsewhere.
const BoundsCheck = "pgtender_bounds"

// ProofPrefix begins the names of the CHECKs that stand on a DEFAULT partition for the moment in which a new partition
// is attached beside it. One that is met at another time was left by a crash.
const ProofPrefix = "pgtender_not_in_"

// MoveTrigger stands on a DEFAULT partition while its rows are copied to where they belong. One that is met while nobody does
// so was left by a crash.
const MoveTrigger = "pgtender_move"

// Range is what a partition holds: from Lower up to, not including, Upper.
type Range struct{ Lower, Upper Bound }

// Overlaps reports whether both ranges hold some value.
func (r Range) Overlaps(o Range) bool {
	return r.Lower.Compare(o.Upper) < 0 && o.Lower.Compare(r.Upper) < 0
}

// Child is one partition.
type Child struct {
	OID   uint32
	Table config.Table
	Range // of a DEFAULT partition: nothing
	// Pending: a DETACH CONCURRENTLY was not finished. The partition holds its bounds, but new sessions see none of its
	// rows and cannot insert into it.
	Pending bool
	Kind    rune  // pg_class.relkind: r a table, p partitioned itself, f a foreign table
	Rows    int64 // the planner's estimate; -1: never analysed
	Pages   int64 // as of the last VACUUM or ANALYZE
	Bounded bool  // has a valid CHECK named BoundsCheck
	// Of a DEFAULT partition, what a crash may have left: CHECKs named ProofPrefix…, functions of triggers named MoveTrigger.
	Proofs, Moves []string
}

// Set is one partitioned table with its partitions, in one reading.
type Set struct {
	// Asked is the table that was asked for. It is Table, or above it: of a table partitioned by LIST or HASH
	// whose branches are partitioned by time, each branch is a Set.
	Asked config.Table
	Table config.Table
	OID   uint32
	Key   Key
	// Children are the partitions in the order of their lower bounds, without the DEFAULT partition. Their ranges never overlap.
	Children []Child
	Default  *Child    // nil: none
	Now      time.Time // the server's, when it was read
	// Problem says why the table cannot be tended; then only Asked and Now hold besides.
	Problem *Problem

	depth int // below Asked
}

func (s *Set) arrange() {
	slices.SortFunc(s.Children, func(a, b Child) int {
		if c := a.Lower.Compare(b.Lower); c != 0 {
			return c
		}
		return cmp.Compare(a.Table.String(), b.Table.String())
	})
}

// Wanted is a range that a policy wants and no partition holds.
type Wanted struct {
	Range
	// Name is what the partition would be called; see Spare for when something else has that name.
	Name string
	// Whole: the range is one whole interval. Otherwise existing partitions hold the rest of it.
	Whole bool
	// Spare is a second name that tells where the range begins.
	Spare string
}

// Missing lists what a policy of ahead whole intervals after the current one wants and no partition holds, in order. It
// counts from the server's now, never from the data, and leaves alone what lies before the current interval
// or beyond the last wanted one: the first is history, the second comes within reach in time.
func (s *Set) Missing(u config.Unit, ahead int, loc *time.Location) []Wanted {
	zone := s.Key.Zone(loc)
	list := periods(u, s.Key.FromInstant(s.Now, loc), ahead+1, zone)
	var missing []Wanted
	for i, p := range list[:len(list)-1] {
		whole := Range{s.Key.At(p.start(zone)), s.Key.At(list[i+1].start(zone))}
		for _, r := range s.without(whole) {
			spare := Fit(s.Table.Name, "_"+p.label()+"_from_"+stamp(r.Lower.Time, zone))
			w := Wanted{Range: r, Name: Fit(s.Table.Name, "_"+p.label()), Whole: r == whole, Spare: spare}
			if !w.Whole {
				w.Name = spare
			}
			missing = append(missing, w)
		}
	}
	return missing
}

// stamp writes when a partial range begins, no longer than needed.
func stamp(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	switch {
	case t.Nanosecond() != 0:
		return t.Format("20060102t150405") + t.Format(".000000")[1:]
	case t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0:
		return t.Format("20060102")
	}
	return t.Format("20060102t150405")
}

// without is what remains of r when the partitions' ranges are taken away. Those of pending partitions are taken too: the
// server lets nobody else have them.
func (s *Set) without(r Range) []Range {
	var rest []Range
	from := r.Lower
	for _, c := range s.Children {
		if !c.Overlaps(Range{from, r.Upper}) {
			continue
		}
		if from.Compare(c.Lower) < 0 {
			rest = append(rest, Range{from, c.Lower})
		}
		from = c.Upper
	}
	if from.Compare(r.Upper) < 0 {
		rest = append(rest, Range{from, r.Upper})
	}
	// Other tools write the first UUIDv7 of a millisecond with its version bits: no UUIDv7 lies between.
	return slices.DeleteFunc(rest, func(r Range) bool {
		return r.Lower.Kind == At && r.Upper.Kind == At && r.Lower.Time.Equal(r.Upper.Time)
	})
}

// Window is all that a policy wants to be held: from the beginning of the current interval to the end of the last one ahead.
func (s *Set) Window(u config.Unit, ahead int, loc *time.Location) Range {
	edges := Boundaries(u, s.Key.FromInstant(s.Now, loc), ahead+1, s.Key.Zone(loc))
	return Range{s.Key.At(edges[0]), s.Key.At(edges[len(edges)-1])}
}

// Blocking lists the partitions with an unfinished DETACH CONCURRENTLY that hold a part of what the policy wants.
func (s *Set) Blocking(u config.Unit, ahead int, loc *time.Location) []Child {
	window := s.Window(u, ahead, loc)
	var list []Child
	for _, c := range s.Children {
		if c.Pending && c.Overlaps(window) {
			list = append(list, c)
		}
	}
	return list
}

// Members are the oids of all partitions, the DEFAULT one too, in ascending order.
func (s *Set) Members() []uint32 {
	list := make([]uint32, 0, len(s.Children)+1)
	for _, c := range s.Children {
		list = append(list, c.OID)
	}
	if s.Default != nil {
		list = append(list, s.Default.OID)
	}
	slices.Sort(list)
	return list
}

// Pending lists all partitions with an unfinished DETACH CONCURRENTLY.
func (s *Set) Pending() []Child {
	var list []Child
	for _, c := range s.Children {
		if c.Pending {
			list = append(list, c)
		}
	}
	return list
}

// CoveredUntil is where the partitions that hold now and join without a hole end; ok is false when no partition holds
// now. A DEFAULT partition covers nothing.
func (s *Set) CoveredUntil(loc *time.Location) (end Bound, ok bool) {
	end = s.Key.At(s.Key.FromInstant(s.Now, loc))
	for _, c := range s.Children {
		if c.Pending || c.Upper.Compare(end) <= 0 {
			continue
		}
		if c.Lower.Compare(end) > 0 && !joins(end, c.Lower) {
			break
		}
		end, ok = c.Upper, true
	}
	return end, ok
}

// joins reports that nothing lies between two bounds: they are the same, or one millisecond's UUIDs.
func joins(upper, lower Bound) bool {
	return upper.Kind == At && lower.Kind == At && upper.Time.Equal(lower.Time)
}

// Runway is the seconds from the server's now to the end of what is covered without a hole: 0 when now itself is
// not covered, +Inf when there is no end.
func (s *Set) Runway(loc *time.Location) float64 {
	end, ok := s.CoveredUntil(loc)
	switch {
	case !ok:
		return 0
	case end.Kind == Max:
		return math.Inf(1)
	}
	return s.Key.Instant(end.Time, loc).Sub(s.Now).Seconds()
}

// Holes are the ranges between the first and the last partition that none holds. A pending partition
// is a hole: nobody can insert there.
func (s *Set) Holes() []Range {
	var holes []Range
	var end *Bound
	for _, c := range s.Children {
		if c.Pending {
			continue
		}
		if end != nil && end.Compare(c.Lower) < 0 && !joins(*end, c.Lower) {
			holes = append(holes, Range{*end, c.Lower})
		}
		upper := c.Upper
		end = &upper
	}
	return holes
}

// Due lists the partitions all of whose rows are older than the cut, an instant, oldest first: their real upper bound is not
// after it. One without a lower or an upper bound, the DEFAULT and pending ones are never due.
func (s *Set) Due(cut time.Time, loc *time.Location) []Child {
	edge := s.Key.At(s.Key.FromInstant(cut, loc))
	var due []Child
	for _, c := range s.Children {
		if c.Lower.Kind == At && c.Upper.Compare(edge) <= 0 && !c.Pending {
			due = append(due, c)
		}
	}
	return due
}

// Lag is the seconds for which the oldest due partition has been due; 0 when none is.
func (s *Set) Lag(cut time.Time, loc *time.Location) float64 {
	due := s.Due(cut, loc)
	if len(due) == 0 {
		return 0
	}
	return cut.Sub(s.Key.Instant(due[0].Upper.Time, loc)).Seconds()
}

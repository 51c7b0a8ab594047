package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// mode says how a step may share a transaction with others.
type mode int

const (
	together mode = iota // in one transaction with all others of its layer
	early                // before the main transaction, so that what it made is committed: ALTER TYPE … ADD VALUE
	alone                // in a transaction of its own, so that a scan holds no other step's lock
	outside              // in no transaction
)

// role says what a step does to its object.
type role int

const (
	makes role = iota
	alters
	drops
)

// step is a statement with what ordering needs.
type step struct {
	Statement
	mode mode
	role role
	// disrupts marks an alteration that the server refuses while dependents stand: ALTER COLUMN … TYPE.
	disrupts bool
	// final marks what nothing waits for: comments, OWNED BY.
	final bool
	// claims marks an alteration that needs a name which others must have freed: ADD GENERATED AS IDENTITY makes a sequence.
	claims bool
	// frees marks an alteration that gives a name up, and needs nothing: DROP IDENTITY drops a sequence.
	frees bool
	// replaced marks the drop half of a recreation: it stands beside the other half, not among the drops at the end.
	replaced bool
	rank     rank
	after    []*step
	unit     *step // union-find parent; nil for a root
	layer    int
}

// rank is the reading order of steps that do not depend on each other.
type rank struct {
	drop   int // 1 for objects that go away for good: last
	group  int // kinds in the order pg_dump has them
	schema string
	table  string
	part   int // within a table: columns, constraints, indexes …
	name   string
	seq    int // order of making, last resort
}

func compareRanks(a, b rank) int {
	return cmp.Or(cmp.Compare(a.drop, b.drop), cmp.Compare(a.group, b.group), cmp.Compare(a.schema, b.schema),
		cmp.Compare(a.table, b.table), cmp.Compare(a.part, b.part), cmp.Compare(a.name, b.name), cmp.Compare(a.seq, b.seq))
}

func (s *step) root() *step {
	for s.unit != nil {
		s = s.unit
	}
	return s
}

// tie makes steps one unit: they make sense only together.
func tie(steps ...*step) {
	for _, s := range steps[min(1, len(steps)):] {
		if a, b := steps[0].root(), s.root(); a != b {
			b.unit = a
		}
	}
}

func (s *step) needs(before ...*step) {
	for _, b := range before {
		if b != s && !slices.Contains(s.after, b) {
			s.after = append(s.after, b)
		}
	}
}

// prefers is needs where that closes no circle.
func (s *step) prefers(before *step) {
	if before != s && !before.follows(s, map[*step]bool{}) {
		s.needs(before)
	}
}

// follows reports whether s needs other, directly or not.
func (s *step) follows(other *step, seen map[*step]bool) bool {
	for _, b := range s.after {
		if b == other {
			return true
		}
		if !seen[b] {
			seen[b] = true
			if b.follows(other, seen) {
				return true
			}
		}
	}
	return false
}

// CycleError says that objects need each other in a circle that no known way breaks.
type CycleError struct{ Objects []catalog.Key }

func (e *CycleError) Error() string {
	names := make([]string, len(e.Objects))
	for i, k := range e.Objects {
		names[i] = k.String()
	}
	return "these objects depend on each other in a circle that cannot be planned: " + strings.Join(names, ", ") +
		"; split one of them in the sources, or change it by hand first"
}

// order sorts steps so that each follows what it needs, in as few transactions as possible, and otherwise by rank.
func order(steps []*step) ([]Statement, error) {
	slices.SortFunc(steps, func(a, b *step) int { return compareRanks(a.rank, b.rank) })
	sorted, err := topological(steps)
	if err != nil {
		return nil, err
	}
	for _, s := range sorted {
		s.layer = layerOf(s)
	}
	late(sorted)
	// A second walk layer by layer keeps related steps together within each transaction.
	slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(a.layer, b.layer) })
	if sorted, err = topological(steps); err != nil {
		return nil, err
	}
	slices.SortStableFunc(sorted, func(a, b *step) int { return cmp.Compare(a.layer, b.layer) })
	return number(sorted), nil
}

// topological walks depth first: a step's needs come right before it.
func topological(steps []*step) ([]*step, error) {
	const visiting, done = 1, 2
	state := make(map[*step]int, len(steps))
	out := make([]*step, 0, len(steps))
	var path []*step
	var visit func(s *step) error
	visit = func(s *step) error {
		switch state[s] {
		case done:
			return nil
		case visiting:
			return cycle(path[slices.Index(path, s):])
		}
		state[s], path = visiting, append(path, s)
		slices.SortFunc(s.after, func(a, b *step) int { return compareRanks(a.rank, b.rank) })
		for _, b := range s.after {
			if err := visit(b); err != nil {
				return err
			}
		}
		state[s], path = done, path[:len(path)-1]
		out = append(out, s)
		return nil
	}
	for _, s := range steps {
		if err := visit(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func cycle(steps []*step) error {
	var keys []catalog.Key
	for _, s := range steps {
		if !slices.Contains(keys, s.Object) {
			keys = append(keys, s.Object)
		}
	}
	slices.SortFunc(keys, catalog.CompareKeys)
	return &CycleError{keys}
}

// layerOf gives steps that share a transaction one odd number, and those that run by themselves an even one.
func layerOf(s *step) int {
	least := map[mode]int{early: 0, together: 1, alone: 2, outside: 2}[s.mode]
	for _, b := range s.after {
		need := b.layer
		if (s.mode == together) != (b.mode == together) {
			need++
		}
		least = max(least, need)
	}
	return least
}

// late moves the drop half of a recreation up to the transaction that needs it, so that what is dropped is away no longer
// than it must be.
func late(sorted []*step) {
	latest := map[*step]int{}
	for _, s := range slices.Backward(sorted) {
		if at, ok := latest[s]; ok && s.mode == together && s.replaced {
			s.layer = max(s.layer, at)
		}
		for _, b := range s.after {
			at := s.layer
			if (s.mode == together) != (b.mode == together) {
				at--
			}
			if was, ok := latest[b]; !ok || at < was {
				latest[b] = at
			}
		}
	}
}

// number turns sorted steps into statements that name their transaction, needs and unit.
func number(sorted []*step) []Statement {
	index := make(map[*step]int, len(sorted))
	members := map[*step]int{}
	for i, s := range sorted {
		index[s] = i
		members[s.root()]++
	}
	units := map[*step]int{}
	out := make([]Statement, len(sorted))
	tx := 0
	for i, s := range sorted {
		out[i] = s.Statement
		if s.mode == outside {
			out[i].OutsideTx = true
		} else {
			if i == 0 || s.mode == alone || sorted[i-1].mode != s.mode || sorted[i-1].layer != s.layer {
				tx++
			}
			out[i].Tx = tx
		}
		for _, b := range s.after {
			out[i].After = append(out[i].After, index[b])
		}
		slices.Sort(out[i].After)
		if root := s.root(); members[root] > 1 {
			if units[root] == 0 {
				units[root] = len(units) + 1
			}
			out[i].Unit = units[root]
		}
	}
	return out
}

// rankOf places an object's steps in the reading order of a dump.
func rankOf(k catalog.Key, r role, seq int) rank {
	group := map[catalog.Kind]int{catalog.Schema: 0, catalog.Extension: 1, catalog.Collation: 1, catalog.Enum: 2,
		catalog.Domain: 3, catalog.Composite: 3, catalog.Range: 3, catalog.Sequence: 4, catalog.Function: 5, catalog.Procedure: 5, catalog.Aggregate: 5,
		catalog.View: 7, catalog.MatView: 8, catalog.EventTrigger: 9}
	part := map[catalog.Kind]int{catalog.Table: 0, catalog.Column: 1, catalog.Constraint: 2, catalog.Index: 3,
		catalog.Statistics: 4, catalog.Rule: 5, catalog.Policy: 6, catalog.Trigger: 7, catalog.Partition: 8}
	out := rank{schema: k.Schema, table: cmp.Or(k.Table, k.Name), part: part[k.Kind], name: k.Name, seq: seq}
	if g, ok := group[k.Kind]; ok {
		out.group, out.part = g, 0
	} else {
		out.group = 6
	}
	if r == drops {
		out.drop = 1
	}
	return out
}

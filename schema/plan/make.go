package plan

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// Options say what the plan is for.
type Options struct {
	Database string // host, port and name, as pg.Redact prints it
	// Renames are declared and still to be done, in the order in which they are undone; Before is what is declared, under the
	// names before them.
	Renames []catalog.Rename
	Before  *catalog.Snapshot
}

// Make plans the way from the live snapshot to the declared one. It is pure: equal snapshots give equal plans.
// What cannot be planned is an *UnplannedError or a *CycleError that names it, never left out.
//
// Declared renames come last: what is declared is first planned under the old names, so that all that the server prints is
// compared under one set of names, and none is ever guessed.
func Make(live, declared *catalog.Snapshot, opts Options) (*Plan, error) {
	goal := declared
	if len(opts.Renames) > 0 {
		goal = opts.Before
	}
	b := newBuilder(live, goal)
	if len(b.diffs) == 0 && len(b.refused) == 0 && len(opts.Renames) == 0 {
		same := live.Fingerprint()
		return &Plan{Database: opts.Database, From: same, To: same, Unmanaged: live.Unmanaged, LeftAlone: live.LeftAlone}, nil
	}
	b.pairRenames()
	b.adoptIndexes()
	b.decide()
	b.withoutGoing()
	b.breakCycles()
	b.breakDropCycles()
	for _, k := range b.keys() {
		b.build(k)
	}
	b.buildRewrites()
	for _, k := range b.keys() {
		b.privileges(k)
	}
	b.checkCoverage()
	if len(b.refused) > 0 {
		return nil, newUnplannedError(b.refused)
	}
	b.connect()
	b.connectPartitions()
	b.connectSwaps()
	b.isolate()
	b.rename(opts.Renames)
	statements, err := order(b.steps)
	if err != nil {
		return nil, err
	}
	return &Plan{
		Database: opts.Database, From: live.Fingerprint(), To: declared.Fingerprint(),
		Statements: statements, Partitions: partitionsOf(statements, live), Unmanaged: live.Unmanaged, LeftAlone: live.LeftAlone,
	}, nil
}

// partitionsOf lists the partitions, at all depths, of the tables whose indexes the statements make or drop.
func partitionsOf(statements []Statement, live *catalog.Snapshot) []string {
	var tables []catalog.Key
	for _, s := range statements {
		if s.Object.Kind == catalog.Index && !slices.Contains(tables, s.Object.Owner()) {
			tables = append(tables, s.Object.Owner())
		}
	}
	var out []string
	for i := 0; i < len(tables); i++ {
		for _, c := range live.Children {
			if c.Parent == tables[i] {
				out = append(out, c.Table.Schema+"."+c.Table.Name)
				tables = append(tables, c.Table)
			}
		}
	}
	slices.Sort(out)
	return out
}

// SamePartitions reports whether the partitions that the plan builds indexes for are still all that there are. They are
// no part of the fingerprint, since a policy makes and archives them at any time.
func (p *Plan) SamePartitions(live *catalog.Snapshot) bool {
	return slices.Equal(partitionsOf(p.Statements, live), p.Partitions)
}

// fate is what becomes of an object.
type fate int

const (
	keep fate = iota
	create
	alter    // in place
	recreate // dropped and made again
	drop
)

// actions are the steps of one object.
type actions struct{ make, alter, gone []*step }

// cover is one difference that a step removes: a fact, or the whole object when fact is empty.
type cover struct {
	key  catalog.Key
	fact string
}

// lateNeed is a need on an object whose steps may not be filed yet, and that pg_depend does not tell.
type lateNeed struct {
	step *step
	on   catalog.Key
}

type builder struct {
	live, want  *catalog.Snapshot
	liveBy      parts
	wantBy      parts
	diffs       map[catalog.Key]*catalog.Difference
	fates       map[catalog.Key]fate
	because     map[catalog.Key]catalog.Key // why an object that does not differ is made again
	dependents  map[catalog.Key][]catalog.Key
	columnDeps  map[catalog.Key]bool        // columns whose default must be taken away and set again
	detached    map[catalog.Key]bool        // constraints and columns' defaults that CREATE TABLE leaves for later
	renamed     map[catalog.Key]catalog.Key // new key → old
	renamedTo   map[catalog.Key]catalog.Key // old key → new
	children    map[catalog.Key][]catalog.Child
	at          map[catalog.Key]*actions
	vanishes    map[catalog.Key]catalog.Key // dropped by the server together with another object
	roomFor     map[catalog.Key]*step       // renames an index that serves until its successor is built
	online      map[catalog.Key]bool        // its successor is built before it goes
	swaps       map[catalog.Key][]*step     // what changes columns from an enum to its successor
	swapped     map[catalog.Key]catalog.Key // a column → the enum that is made anew under it
	rewrites    map[catalog.Key][]*columnChange
	adopted     map[catalog.Key]catalog.Key // a live index → the declared constraint that takes it
	covered     map[cover]bool
	lateParents []lateNeed            // the step attaches a partition to the table
	lateNeeds   []lateNeed            // the step runs behind what makes the object
	lateBefore  []lateNeed            // the step runs before what drops the object
	afterGone   []lateNeed            // the step runs behind what drops the object
	shared      map[[2]string]bool    // schema and name of constraints that several tables have
	unset       map[catalog.Key]*step // takes the default of a column away before its table goes
	refused     []Refusal
	drafts      int
	steps       []*step
}

func newBuilder(live, want *catalog.Snapshot) *builder {
	b := &builder{
		live: live, want: want, liveBy: partsOf(live), wantBy: partsOf(want),
		diffs: map[catalog.Key]*catalog.Difference{}, fates: map[catalog.Key]fate{},
		because: map[catalog.Key]catalog.Key{}, dependents: map[catalog.Key][]catalog.Key{},
		columnDeps: map[catalog.Key]bool{}, detached: map[catalog.Key]bool{}, renamed: map[catalog.Key]catalog.Key{}, renamedTo: map[catalog.Key]catalog.Key{},
		children: map[catalog.Key][]catalog.Child{}, at: map[catalog.Key]*actions{}, vanishes: map[catalog.Key]catalog.Key{},
		swapped: map[catalog.Key]catalog.Key{}, swaps: map[catalog.Key][]*step{}, online: map[catalog.Key]bool{}, roomFor: map[catalog.Key]*step{}, rewrites: map[catalog.Key][]*columnChange{}, covered: map[cover]bool{}, adopted: map[catalog.Key]catalog.Key{}, unset: map[catalog.Key]*step{},
	}
	diffs := catalog.Diff(live, want)
	for i := range diffs {
		b.diffs[diffs[i].Key] = &diffs[i]
	}
	for i := range live.Objects {
		o := &live.Objects[i]
		for _, n := range o.Needs {
			b.dependents[n] = append(b.dependents[n], o.Key)
		}
	}
	b.shared = sharedNames(live, want)
	for _, c := range live.Children {
		b.children[c.Parent] = append(b.children[c.Parent], c)
	}
	for _, u := range want.Unmanaged {
		b.refused = append(b.refused, Refusal{What: u.Kind + " " + u.Name, Why: "the sources declare it, but pgtender does not manage this kind yet",
			Advice: "take it out of the sources and keep it by hand"})
	}
	return b
}

// sharedNames are the names of constraints that more than one table of a schema has, on either side.
func sharedNames(sides ...*catalog.Snapshot) map[[2]string]bool {
	first, out := map[[2]string]string{}, map[[2]string]bool{}
	for _, s := range sides {
		for i := range s.Objects {
			k := s.Objects[i].Key
			if k.Kind != catalog.Constraint {
				continue
			}
			n := [2]string{k.Schema, k.Name}
			if table, ok := first[n]; ok && table != k.Table {
				out[n] = true
			}
			first[n] = k.Table
		}
	}
	return out
}

// keys are all objects of both sides, sorted.
func (b *builder) keys() []catalog.Key {
	var out []catalog.Key
	for _, s := range []*catalog.Snapshot{b.live, b.want} {
		for i := range s.Objects {
			out = append(out, s.Objects[i].Key)
		}
	}
	slices.SortFunc(out, catalog.CompareKeys)
	return slices.Compact(out)
}

func lookup(s *catalog.Snapshot, k catalog.Key) *catalog.Object {
	o, ok := s.Lookup(k)
	if !ok {
		return nil
	}
	return o
}

func (b *builder) liveObject(k catalog.Key) *catalog.Object { return lookup(b.live, k) }
func (b *builder) wantObject(k catalog.Key) *catalog.Object { return lookup(b.want, k) }

// ownerOf finds the table or view that a part belongs to; the key says only its name.
func ownerOf(s *catalog.Snapshot, k catalog.Key) *catalog.Object {
	for _, kind := range []catalog.Kind{catalog.Table, catalog.View, catalog.MatView} {
		if o := lookup(s, catalog.Key{Kind: kind, Schema: k.Schema, Name: k.Table}); k.Table != "" && o != nil {
			return o
		}
	}
	return nil
}

// ownerFate is what becomes of the table or view that k belongs to, on the given side.
func (b *builder) ownerFate(s *catalog.Snapshot, k catalog.Key) fate {
	if o := ownerOf(s, k); o != nil {
		return b.fates[o.Key]
	}
	return keep
}

func (b *builder) actions(k catalog.Key) *actions {
	if b.at[k] == nil {
		b.at[k] = &actions{}
	}
	return b.at[k]
}

// add files a step under its object.
func (b *builder) add(r role, k catalog.Key, s Statement) *step {
	s.Object = k
	s.Lock = orDefault(b.spread(k, &s), "none")
	out := &step{Statement: s, role: r, rank: rankOf(k, r, len(b.steps))}
	if r == drops && b.fates[k] == recreate {
		out.rank.drop, out.replaced = 0, true
	}
	b.steps = append(b.steps, out)
	a := b.actions(k)
	switch r {
	case makes:
		a.make = append(a.make, out)
	case alters:
		a.alter = append(a.alter, out)
	case drops:
		a.gone = append(a.gone, out)
	}
	return out
}

// spread adds to a statement's lock the partitions that it is taken on too.
func (b *builder) spread(k catalog.Key, s *Statement) string {
	recurses := strings.HasPrefix(s.SQL, "ALTER TABLE ") || strings.HasPrefix(s.SQL, "DROP T") || strings.Contains(s.SQL, " TRIGGER ") && strings.HasPrefix(s.SQL, "CREATE ")
	for _, alone := range []string{" ROW LEVEL SECURITY", " REPLICA IDENTITY ", " CLUSTER", " RULE "} {
		recurses = recurses && !strings.Contains(s.SQL, alone)
	}
	owner := " on " + k.Owner().Schema + "." + k.Owner().Name
	below := b.below(k.Owner())
	before, after, ok := strings.Cut(s.Lock, owner)
	if !recurses || below == 0 || !ok || after != "" && !strings.HasPrefix(after, ", ") {
		return s.Lock
	}
	return before + owner + " and its " + count(below, "partition") + after
}

// below counts the partitions of a table at all depths.
func (b *builder) below(t catalog.Key) int {
	n := len(b.children[t])
	for _, c := range b.children[t] {
		n += b.below(c.Table)
	}
	return n
}

// isolate gives a rewrite or long lock that nothing else hangs together with a transaction of its own, so that the locks
// of other steps are not held meanwhile.
func (b *builder) isolate() {
	members := map[*step]int{}
	for _, s := range b.steps {
		members[s.root()]++
	}
	for _, s := range b.steps {
		heavy := slices.ContainsFunc(s.Hazards, func(h Hazard) bool { return h.Name == Rewrite || h.Name == LongLock })
		bound := members[s.root()] > 1 || slices.ContainsFunc(s.after, func(o *step) bool { return o.replaced })
		if heavy && s.mode == together && !bound {
			s.mode = alone
		}
	}
}

// cover notes that some step removes the named facts' difference, or the whole object's when none is named.
func (b *builder) cover(k catalog.Key, facts ...string) {
	if len(facts) == 0 {
		b.covered[cover{key: k}] = true
	}
	for _, f := range facts {
		b.covered[cover{k, f}] = true
	}
}

// delta returns the named fact's difference.
func (b *builder) delta(k catalog.Key, fact string) (catalog.Delta, bool) {
	if d := b.diffs[k]; d != nil {
		for _, delta := range d.Deltas {
			if delta.Name == fact {
				return delta, true
			}
		}
	}
	return catalog.Delta{}, false
}

// differsIn reports whether a changed object differs in any of the facts.
func (b *builder) differsIn(k catalog.Key, facts ...string) bool {
	return slices.ContainsFunc(facts, func(f string) bool { _, ok := b.delta(k, f); return ok })
}

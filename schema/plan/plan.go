// Package plan turns the difference of two snapshots into ordered statements, each with the reason
// for it, the lock it takes and its hazards. It reads no database and changes none.
//
// Make works in four passes. It decides for each object whether it is made, altered in place, dropped,
// or dropped and made again, following the dependents of whatever goes away. It then turns each object into
// steps; Atlas plans CREATE TABLE, columns and DROP TABLE, and the rest is the server's own canonical
// definition. Steps are ordered by what they need, in as few transactions as is right. Last, every fact that
// differs must be removed by some step: what is not is an error that names it.
package plan

import (
	"slices"

	"github.com/pgtender/pgtender/schema/catalog"
)

// HazardName is what --allow-hazards names.
type HazardName string

// The hazards.
const (
	DataLoss   HazardName = "data_loss"   // rows or values are gone afterwards
	Rewrite    HazardName = "rewrite"     // every row is written again under ACCESS EXCLUSIVE
	LongLock   HazardName = "long_lock"   // readers or writers wait while the table is scanned or built
	BreaksCode HazardName = "breaks_code" // running queries may fail: something they name goes away or changes its type
)

// AllHazards allows every hazard.
const AllHazards HazardName = "all"

// HazardNames lists every hazard.
func HazardNames() []HazardName { return []HazardName{DataLoss, Rewrite, LongLock, BreaksCode} }

// Hazard is one danger of one statement, in words.
type Hazard struct {
	Name    HazardName `json:"name"`
	Message string     `json:"message"`
}

// Statement is one step of a plan.
type Statement struct {
	SQL     string      `json:"sql"`
	Object  catalog.Key `json:"object"`
	Reason  string      `json:"reason"`
	Lock    string      `json:"lock"` // the strongest table lock it takes on an existing object, or "none"
	Hazards []Hazard    `json:"hazards,omitempty"`
	// OutsideTx marks what cannot run in a transaction: CREATE INDEX CONCURRENTLY and its like.
	OutsideTx bool `json:"outside_tx,omitempty"`
	// Cleanup undoes what a failed or killed OutsideTx statement may leave (an invalid index); it runs before each
	// try, and only while that index exists and is invalid.
	Cleanup string `json:"cleanup,omitempty"`
	// Tx numbers the transaction that the statement runs in, from 1; 0 for one outside. Statements of one
	// transaction stand together.
	Tx int `json:"tx,omitempty"`
	// After are the statements that must have run before this one, by index, sorted.
	After []int `json:"after,omitempty"`
	// Unit is equal for statements that make sense only together, such as DROP VIEW and CREATE VIEW; 0 for one
	// that stands alone.
	Unit int `json:"unit,omitempty"`
}

// Plan brings one database from one state to another. It is only good for a database whose
// snapshot still has the fingerprint From.
type Plan struct {
	Database   string              `json:"database"` // host, port and name; no password
	From       string              `json:"from"`
	To         string              `json:"to"`
	Statements []Statement         `json:"statements"`
	Partitions []string            `json:"partitions,omitempty"` // for which it builds indexes, sorted
	Unmanaged  []catalog.Unmanaged `json:"unmanaged,omitempty"`  // met in the target, not compared
	LeftAlone  []string            `json:"left_alone,omitempty"`
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Statements) == 0 }

// Hazards are the distinct hazards of the plan, in the order of first appearance.
func (p *Plan) Hazards() []HazardName {
	var out []HazardName
	seen := map[HazardName]bool{}
	for _, s := range p.Statements {
		for _, h := range s.Hazards {
			if !seen[h.Name] {
				seen[h.Name] = true
				out = append(out, h.Name)
			}
		}
	}
	return out
}

// NotAllowed are the statements with a hazard that is not among allowed, and those hazards in HazardNames' order.
func (p *Plan) NotAllowed(allowed []HazardName) ([]HazardName, []Statement) {
	var blocked []Statement
	needed := map[HazardName]bool{}
	for _, s := range p.Statements {
		refused := false
		for _, h := range s.Hazards {
			if !slices.Contains(allowed, h.Name) && !slices.Contains(allowed, AllHazards) {
				needed[h.Name], refused = true, true
			}
		}
		if refused {
			blocked = append(blocked, s)
		}
	}
	var names []HazardName
	for _, n := range HazardNames() {
		if needed[n] {
			names = append(names, n)
		}
	}
	return names, blocked
}

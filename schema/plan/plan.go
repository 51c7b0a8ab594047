// Package plan turns the difference of two snapshots into ordered statements, each with the reason
// for it, the lock it takes and its hazards. It reads no database and changes none.
package plan

import "github.com/pgtender/pgtender/schema/catalog"

// HazardName is what --allow-hazards names.
type HazardName string

// The hazards.
const (
	DataLoss   HazardName = "data_loss"   // rows or values are gone afterwards
	Rewrite    HazardName = "rewrite"     // every row is written again under ACCESS EXCLUSIVE
	LongLock   HazardName = "long_lock"   // readers or writers wait while the table is scanned or built
	BreaksCode HazardName = "breaks_code" // running queries may fail: something they name goes away or changes its type
)

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
	// Cleanup undoes what a failed or killed OutsideTx statement may leave (an invalid index); it runs before each try.
	Cleanup string `json:"cleanup,omitempty"`
}

// Plan brings one database from one state to another. It is only good for a database whose
// snapshot still has the fingerprint From.
type Plan struct {
	Database   string              `json:"database"` // host, port and name; no password
	From       string              `json:"from"`
	To         string              `json:"to"`
	Statements []Statement         `json:"statements"`
	Unmanaged  []catalog.Unmanaged `json:"unmanaged,omitempty"` // met in the target, not compared
	LeftAlone  []string            `json:"left_alone,omitempty"`
}

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

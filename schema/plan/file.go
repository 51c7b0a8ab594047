package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// fileFormat is raised when the meaning of a plan file changes.
const fileFormat = 1

// file is a plan as it is written.
type file struct {
	Format int `json:"format"`
	Plan
}

// Read reads a plan file. It refuses what it does not know, and a file of another format.
func Read(r io.Reader) (*Plan, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var f file
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read the plan file: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read the plan file: something follows the plan")
	}
	if f.Format != fileFormat {
		return nil, fmt.Errorf("read the plan file: it has format %d, and this pgtender knows only format %d; make it again with pgtender plan --out", f.Format, fileFormat)
	}
	if err := f.Plan.check(); err != nil {
		return nil, fmt.Errorf("read the plan file: %w", err)
	}
	return &f.Plan, nil
}

// check refuses a plan whose parts do not fit together, such as one edited by hand.
func (p *Plan) check() error {
	if p.From == "" || p.To == "" {
		return fmt.Errorf("it does not say which state it was made for")
	}
	known := map[HazardName]bool{}
	for _, n := range HazardNames() {
		known[n] = true
	}
	tx := 0
	for i, s := range p.Statements {
		switch {
		case s.SQL == "":
			return fmt.Errorf("statement %d is empty", i+1)
		case s.OutsideTx != (s.Tx == 0):
			return fmt.Errorf("statement %d says both that it runs in a transaction and that it does not", i+1)
		case s.Tx != 0 && s.Tx < tx:
			return fmt.Errorf("statement %d belongs to an earlier transaction than the one before it", i+1)
		}
		tx = max(tx, s.Tx)
		for _, h := range s.Hazards {
			if !known[h.Name] {
				return fmt.Errorf("statement %d has an unknown hazard %q", i+1, h.Name)
			}
		}
		for _, a := range s.After {
			if a < 0 || a >= i {
				return fmt.Errorf("statement %d does not come after what it needs", i+1)
			}
		}
	}
	return nil
}

// Hash identifies a plan: equal plans have equal hashes.
func (p *Plan) Hash() string {
	var b bytes.Buffer
	_ = p.JSON(&b) // writing plain values to memory cannot go wrong
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

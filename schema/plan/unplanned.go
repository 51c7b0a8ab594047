package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

// Refusal is one difference that no statement can remove.
type Refusal struct {
	What   string `json:"what"` // the object
	Why    string `json:"why"`
	Advice string `json:"advice"`
}

// UnplannedError names every difference that cannot be planned. Nothing was changed.
type UnplannedError struct{ Refusals []Refusal }

func newUnplannedError(r []Refusal) *UnplannedError {
	slices.SortStableFunc(r, func(a, b Refusal) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why)) })
	return &UnplannedError{slices.Compact(r)}
}

func (e *UnplannedError) Error() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s cannot be planned, so nothing was:", count(len(e.Refusals), "difference"))
	for _, r := range e.Refusals {
		fmt.Fprintf(&out, "\n  %s: %s; %s", r.What, r.Why, r.Advice)
	}
	return out.String()
}

func (b *builder) refuse(k catalog.Key, why, advice string) {
	b.refused = append(b.refused, Refusal{What: k.String(), Why: why, Advice: advice})
	b.cover(k)
}

// checkCoverage refuses every difference that no step removes, so that none is passed over in silence.
func (b *builder) checkCoverage() {
	const advice = "change it by hand to what is declared, or declare what is there"
	for _, k := range b.keys() {
		d := b.diffs[k]
		if d == nil || b.covered[cover{key: k}] {
			continue
		}
		if d.Change != catalog.Changed {
			b.refused = append(b.refused, Refusal{k.String(), "it is " + string(d.Change) + ", and pgtender has no statement for that", advice})
			continue
		}
		for _, delta := range d.Deltas {
			if !b.covered[cover{k, delta.Name}] {
				b.refused = append(b.refused, Refusal{k.String(), "pgtender has no statement for this change: " + describe(delta), advice})
			}
		}
	}
}

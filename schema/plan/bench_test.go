package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// BenchmarkMake plans 500 tables of five columns with their keys and an index each: from nothing, and with nothing to do.
func BenchmarkMake(b *testing.B) {
	var full catalog.Snapshot
	add := func(kind catalog.Kind, table, name string, needs []catalog.Key, facts ...string) {
		o := catalog.Object{Key: catalog.Key{Kind: kind, Schema: "public", Table: table, Name: name}, Needs: needs}
		for i := 0; i < len(facts); i += 2 {
			o.Facts = append(o.Facts, catalog.Fact{Name: facts[i], Value: facts[i+1]})
		}
		full.Objects = append(full.Objects, o)
	}
	for n := range 500 {
		t := fmt.Sprintf("t%04d", n)
		first := []catalog.Key{{Kind: catalog.Column, Schema: "public", Table: t, Name: "c0"}}
		add(catalog.Table, "", t, nil)
		for c := range 5 {
			add(catalog.Column, t, fmt.Sprintf("c%d", c), nil, catalog.FactType, "bigint")
		}
		add(catalog.Constraint, t, t+"_pkey", first, catalog.FactConstraintType, "p", catalog.FactDefinition, "PRIMARY KEY (c0)")
		add(catalog.Index, t, t+"_idx", first, catalog.FactDefinition, "CREATE INDEX "+t+"_idx ON public."+t+" USING btree (c0)")
	}
	slices.SortFunc(full.Objects, func(a, b catalog.Object) int { return catalog.CompareKeys(a.Key, b.Key) })
	for name, live := range map[string]*catalog.Snapshot{"from nothing": {}, "nothing to do": &full} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := plan.Make(live, &full, plan.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

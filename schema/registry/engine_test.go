package registry_test

import (
	"context"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
	"github.com/pgtender/pgtender/schema/registry"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
)

// What the other tests test is what the engine makes.
func TestEngineAgrees(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	sources := []desired.Source{{FS: registry.Files, Path: ".", Raw: "schema/registry"}}

	helper := registrytest.Database(t)
	e := schema.NewFrom(helper, schema.Sources{TargetURL: helper, Sources: sources}, nil)
	drift, err := e.Drift(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drift.Differences {
		t.Errorf("%v", d)
	}
	if len(drift.Unmanaged) > 0 {
		t.Errorf("unmanaged: %v", drift.Unmanaged)
	}

	url := pgtest.Database(t)
	e = schema.NewFrom(url, schema.Sources{TargetURL: url, Sources: sources}, nil)
	p, err := e.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Apply(ctx, p, schema.ApplyOptions{AllowHazards: []plan.HazardName{"all"}}); err != nil {
		t.Fatal(err)
	}
	if p, err = e.Plan(ctx); err != nil || !p.Empty() {
		t.Fatalf("a second plan: %v, %v", p, err)
	}
}

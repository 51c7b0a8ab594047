package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/desired"
)

// What is remembered of the registry is what was loaded, to the last list that is empty and not absent.
func TestPackedIsUnpacked(t *testing.T) {
	t.Parallel()
	env, err := config.Load(config.LoadOptions{File: "../atlas.hcl", Getenv: func(string) string { return "" }, Flags: config.Flags{URL: pgtest.Database(t)}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := desired.Load(t.Context(), desired.FromEnv(env, nil))
	if err != nil {
		t.Fatal(err)
	}
	was := content{*r.Snapshot, r.Schemas, r.Scope, r.Ignored, r.Renames, map[string]string{"vector": "0.8"}, "digest"}
	packed, err := pack(was)
	if err != nil {
		t.Fatal(err)
	}
	var is content
	if err := unpack(packed, &is); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("-packed +unpacked\n%s", diff)
	}
}

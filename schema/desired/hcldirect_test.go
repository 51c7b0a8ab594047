package desired_test

import (
	"os"
	"testing"

	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
)

// The attributes that are ours alone do not hinder Atlas: it passes over them.
func TestAtlasPassesOverOurAttributes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../plan/testdata/cases/renamed_hcl/new.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var realm schema.Realm
	if err := postgres.EvalHCLBytes(text, &realm, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(realm.Schemas[0].Tables[0].Columns); n != 3 {
		t.Errorf("%d columns", n)
	}
}

package cli

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

func TestDepthsFollowWhatIsDeclared(t *testing.T) {
	view := func(name string) config.Table { return config.Table{Schema: "public", Name: name} }
	object := func(kind catalog.Kind, name string, needs ...catalog.Key) catalog.Object {
		return catalog.Object{Key: catalog.Key{Kind: kind, Schema: "public", Name: name}, Needs: needs}
	}
	plainView := catalog.Key{Kind: catalog.View, Schema: "public", Name: "between"}
	s := &catalog.Snapshot{Objects: []catalog.Object{
		object(catalog.Table, "t"),
		object(catalog.MatView, "a", catalog.TableKey("public", "t")),
		object(catalog.View, "between", viewKey(view("a"))),
		object(catalog.MatView, "b", plainView, viewKey(view("unkept"))),
		object(catalog.MatView, "c", viewKey(view("a")), viewKey(view("b"))),
		object(catalog.MatView, "unkept", viewKey(view("a"))), // no policy of its own, but it stands on one that has
	}}
	slices.SortFunc(s.Objects, func(a, b catalog.Object) int { return catalog.CompareKeys(a.Key, b.Key) })
	env := &config.Env{Refreshes: []config.Refresh{{View: view("c")}, {View: view("a")}, {View: view("b")}, {View: view("absent")}}}
	want := map[config.Table]int{view("a"): 0, view("b"): 1, view("c"): 2, view("absent"): 0}
	if diff := cmp.Diff(want, depths(s, env)); diff != "" {
		t.Error(diff)
	}
}

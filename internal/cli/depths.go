package cli

import (
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// depths says on how many layers of other refreshed views each refreshed view stands, by what is declared: before the first
// apply there is nothing to be read from the database.
func depths(s *catalog.Snapshot, env *config.Env) map[config.Table]int {
	refreshed := map[catalog.Key]bool{}
	for _, r := range env.Views() {
		refreshed[viewKey(r.View)] = true
	}
	known := map[catalog.Key]int{}
	var depth func(k catalog.Key) int
	depth = func(k catalog.Key) int {
		if d, ok := known[k]; ok {
			return d
		}
		known[k] = 0 // what needs itself, by way of others, stands on nothing more for that
		object, ok := s.Lookup(k)
		if !ok {
			return 0
		}
		deepest := 0
		for _, needed := range object.Needs {
			d := depth(needed)
			if refreshed[needed] {
				d++
			}
			deepest = max(deepest, d)
		}
		known[k] = deepest
		return deepest
	}
	out := map[config.Table]int{}
	for _, r := range env.Views() {
		out[r.View] = depth(viewKey(r.View))
	}
	return out
}

func viewKey(t config.Table) catalog.Key {
	return catalog.Key{Kind: catalog.MatView, Schema: t.Schema, Name: t.Name}
}

package desired_test

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// sources are files in memory, as one folder.
func sources(files map[string]string) []desired.Source {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return []desired.Source{{FS: fsys, Path: "."}}
}

// load loads files into a scratch database of the shared server.
func load(t testing.TB, files map[string]string, options ...func(*desired.Options)) (*desired.Result, error) {
	t.Helper()
	o := desired.Options{TargetURL: pgtest.Database(t), Sources: sources(files)}
	for _, set := range options {
		set(&o)
	}
	return desired.Load(t.Context(), o)
}

func mustLoad(t testing.TB, files map[string]string, options ...func(*desired.Options)) *desired.Result {
	t.Helper()
	r, err := load(t, files, options...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fact(t testing.TB, r *desired.Result, k catalog.Key, name string) string {
	t.Helper()
	o, ok := r.Snapshot.Lookup(k)
	if !ok {
		t.Fatalf("there is no %s", k)
	}
	return o.Fact(name)
}

func column(table, name string) catalog.Key {
	return catalog.Key{Kind: catalog.Column, Schema: "public", Table: table, Name: name}
}

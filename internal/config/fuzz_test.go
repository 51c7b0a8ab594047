package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad: no text makes the reader panic, hang or overflow; it ends in an env or in problems with places in
// the file, and never prints the password of the environment.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{contractFile, "../../atlas.hcl"} {
		source, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	archives, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil || len(archives) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".hcl") {
				f.Add(string(file.Data))
			}
		}
	}
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, source string) {
		l := newLoader(LoadOptions{File: "atlas.hcl", Env: "local", Vars: map[string]string{"v": "1"},
			Getenv: environ("DATABASE_URL", "postgres://u:Pa55word@db/x", "PGPASSWORD", "Pa55word")}, base)
		env := l.load([]byte(source))
		err := l.err()
		switch {
		case err == nil && env == nil:
			t.Fatal("neither an env nor an error")
		case err == nil:
			return
		}
		var problems *Error
		if !errors.As(err, &problems) || len(problems.Problems) == 0 {
			t.Fatalf("no problems in %v", err)
		}
		lines := strings.Count(source, "\n") + 1
		for _, p := range problems.Problems {
			if p.Text == "" || p.Pos.Line < 0 || p.Pos.Line > lines+1 {
				t.Errorf("a problem out of place: %+v", p)
			}
		}
		if !strings.Contains(source, "Pa55word") && strings.Contains(err.Error(), "Pa55word") {
			t.Errorf("the password is printed: %v", err)
		}
	})
}

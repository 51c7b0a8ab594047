package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// FuzzLoad: no text makes the reader panic, hang or overflow; it ends in an env or in problems with places in
// the file, the same each time, and never prints the password of the environment.
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
		bounded(t)
		read := func() (*Env, error) {
			l := newLoader(LoadOptions{File: "atlas.hcl", Env: "local", Vars: map[string]string{"v": "1"},
				Getenv: environ("DATABASE_URL", "postgres://u:Pa55word@db/x", "PGPASSWORD", "Pa55word")}, base)
			return l.load([]byte(source)), l.err()
		}
		env, err := read()
		if again, err2 := read(); fmt.Sprint(err) != fmt.Sprint(err2) || !reflect.DeepEqual(env, again) {
			t.Fatalf("read twice, it is\n%+v %v\nand\n%+v %v", env, err, again, err2)
		}
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
			if p.Text == "" || p.Pos.File == "" || p.Pos.Line < 0 || p.Pos.Line > lines+1 {
				t.Errorf("a problem out of place: %+v", p)
			}
		}
		if !strings.Contains(source, "Pa55word") && strings.Contains(err.Error(), "Pa55word") {
			t.Errorf("the password is printed: %v", err)
		}
	})
}

package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what the code does now into the golden files")

// TestRefused reads each NAME.hcl of testdata/refused and compares the whole error with NAME.want. A
// fragment without an env block is put into one.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out := &txtar.Archive{Comment: archive.Comment}
			wants := map[string]string{}
			for _, f := range archive.Files {
				wants[f.Name] = string(f.Data)
			}
			for _, f := range archive.Files {
				base, isCase := strings.CutSuffix(f.Name, ".hcl")
				if !isCase {
					continue
				}
				got := refusal(t, string(f.Data))
				if want := wants[base+".want"]; got != want && !*update {
					t.Errorf("%s:\n%s\n got %s\nwant %s", base, f.Data, got, want)
				}
				out.Files = append(out.Files, f, txtar.File{Name: base + ".want", Data: []byte(got)})
			}
			if *update {
				if err := os.WriteFile(name, txtar.Format(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// refusal loads the source and returns its error, with the folder taken out of the paths.
func refusal(t *testing.T, source string) string {
	t.Helper()
	file := write(t, source, "schema/a.sql", "SELECT 1", "schema/note.txt", "not a schema")
	_, err := Load(LoadOptions{File: file, Getenv: environ("PGPASSWORD", "hunter2", "API_TOKEN", "tok3n", "PLAIN", "Europ/Berlin",
		"DATABASE_URL", "postgres://app:s3cret@db:5432/app")})
	if err == nil {
		t.Errorf("accepted:\n%s", source)
		return "accepted\n"
	}
	text := strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "")
	for _, secret := range []string{"hunter2", "tok3n", "s3cret"} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is printed: %s", text)
		}
	}
	return text + "\n"
}

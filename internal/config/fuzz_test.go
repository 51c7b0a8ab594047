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

// FuzzNames: a table's name or a pattern is refused, or is one of one or two names that PostgreSQL can have, which are read again from
// their quoted form; a quoted pattern matches that one object.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"a", "a.b", `"a.b"."c""d"`, "a.b.c", "", ".", `"`, `""`, " a", "a*.b?[x-z]", `[`, `a\`, "\x00", strings.Repeat("é", 32), strings.Repeat("a", 63), `"*"."[a]"`, "a/b.*", "[type=table]", "[]a]", "a.[^b]"} {
		f.Add(seed, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, schema, object string) {
		bounded(t)
		if table, err := ParseTable(text, "public"); err == nil {
			for _, name := range []string{table.Schema, table.Name} {
				if name == "" || len(name) > 63 || strings.ContainsRune(name, 0) {
					t.Errorf("%q has the name %q", text, name)
				}
			}
			quoted := `"` + strings.ReplaceAll(table.Schema, `"`, `""`) + `"."` + strings.ReplaceAll(table.Name, `"`, `""`) + `"`
			if again, err := ParseTable(quoted, "x"); err != nil || again != table {
				t.Errorf("%q is %+v, quoted %+v, %v", text, table, again, err)
			}
			if p := (Pattern{Text: quoted}); !p.Match(table.Schema, table.Name) || p.Match(table.Schema, table.Name+"x") || p.MatchSchema(table.Schema) {
				t.Errorf("the pattern %s does not mean %+v alone", quoted, table)
			}
		} else if err.Error() == "" {
			t.Errorf("%q is refused without a word", text)
		}
		p := Pattern{Text: text}
		if _, err := parsePattern(text); err != nil && p.Match(schema, object) {
			t.Errorf("the pattern %q is refused and matches", text)
		}
		if p.MatchSchema(schema) && !p.Match(schema, object) {
			t.Errorf("the pattern %q matches all in %q, but not %q", text, schema, object)
		}
	})
}

// FuzzThreshold: a threshold of any check, written as any text or number, is refused with its place or is a positive number, which as the
// program writes it is read as the same.
func FuzzThreshold(f *testing.F) {
	for _, seed := range []string{"5 minutes", "10 GB", "0.8", "1e300", "-1", "0", "1 year", "99999999999 TB", "9007199254740993 B", "1kB", "90 s", "1000000 minutes", "1e-320", "Inf", "NaN", "0x10", "1 mon", "1.5 hours", "1 second 1 hour"} {
		f.Add(uint8(0), seed, false)
		f.Add(uint8(18), seed, true)
		f.Add(uint8(33), seed, true)
	}
	all := BuiltinChecks()
	f.Fuzz(func(t *testing.T, which uint8, text string, quoted bool) {
		bounded(t)
		b := all[int(which)%len(all)]
		read := func(value string) (CheckLimits, error) {
			source := "env \"e\" {\n  url = \"postgres://h/d\"\n  check \"" + b.Name + "\" {\n    critical = " + value + "\n    warning = " + value + "\n  }\n}\n"
			l := newLoader(LoadOptions{File: "atlas.hcl", Getenv: environ()}, "/")
			env := l.load([]byte(source))
			if err := l.err(); err != nil {
				return CheckLimits{}, err
			}
			return env.Limits(b.Name), nil
		}
		if quoted {
			text = hclQuote(text)
		}
		limits, err := read(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "atlas.hcl:") {
				t.Errorf("%s = %s: no place in %v", b.Name, text, err)
			}
			return
		}
		if !limits.Given {
			return // null, and the like
		}
		if !(limits.Warning > 0) || limits.Warning > 1e308 || limits.Warning != limits.Critical {
			t.Errorf("%s = %s: %+v", b.Name, text, limits)
		}
		if again, err := read(b.written(limits.Warning)); err != nil || again.Warning != limits.Warning {
			t.Errorf("%s = %s is %v; written %s it is %v, %v", b.Name, text, limits.Warning, b.written(limits.Warning), again.Warning, err)
		}
	})
}

func hclQuote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "${", "$${", "%{", "%%{").Replace(text) + `"`
}

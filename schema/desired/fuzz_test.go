package desired

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// registry adds the declared registry's files of one extension as seeds.
func registry(f *testing.F, extension string) (texts []string) {
	names, err := filepath.Glob("../registry/*" + extension)
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// FuzzSplit: the pieces of any text lie in it one after the other, hold all that is no space, comment or semicolon, and each alone
// is one piece of the same tokens, so that nothing is run in other company than it was written in.
func FuzzSplit(f *testing.F) {
	for _, text := range registry(f, ".sql") {
		f.Add(text[:min(len(text), 2000)])
	}
	for _, seed := range []string{"a; b", "a 'x;''y' \"n;\"\"m\" E'\\';' $$;$x$;$$ $é$;$é$; b", "a /* ; /* */ ; */ b -- ;\n;c", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN b END; END; c",
		"COPY t FROM stdin;\n1;'\n\\.\nb;", "\\restrict x\na;", "-- pgtender: renamed from x\nCREATE TABLE t (a int -- pgtender: using a\n);", "a U&'\\;' n';' x'", "((;));", "$1$$", "'", "\"", "$a$", "/*", "e'\\", "\x00;\x80", "U&\"", "1e5;0x", "COPY STDIN;", "COPY STDIN;\n\\."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		bounded(t)
		pieces, lexErr := split(src)
		if lexErr != nil && (lexErr.what == "" || lexErr.offset < 0 || lexErr.offset > len(src)) {
			t.Fatalf("an error out of place: %+v", lexErr)
		}
		end := 0
		for i, p := range pieces {
			if p.start < end || p.end < p.start || p.end > len(src) {
				t.Fatalf("piece %d is %d to %d, after %d, of %d", i, p.start, p.end, end, len(src))
			}
			at := p.start
			for _, tok := range p.tokens {
				if tok.start < at || tok.end <= tok.start || tok.end > p.end {
					t.Fatalf("piece %d: token %+v after %d", i, tok, at)
				}
				at = tok.end
			}
			end = p.end
			if p.meta != "" {
				continue
			}
			alone, err := split(src[p.start:p.end])
			if err != nil && err.what != "no declaration follows this directive" || len(alone) != 1 || len(alone[0].tokens) != len(p.tokens) {
				t.Fatalf("piece %d, %q, alone becomes %+v, %v", i, src[p.start:p.end], alone, err)
			}
			for j, tok := range alone[0].tokens {
				if tok.kind != p.tokens[j].kind || tok.text != p.tokens[j].text {
					t.Fatalf("piece %d, %q: token %+v, alone %+v", i, src[p.start:p.end], p.tokens[j], tok)
				}
			}
		}
	})
}

// FuzzDirective: a directive is refused with a reason, or says one thing.
func FuzzDirective(f *testing.F) {
	for _, seed := range []string{"renamed from a", `renamed from "A""b"`, "renamed from 'it''s'", "renamed from s.a", "using a::int", "using", "using ;", "renamed from", "renamed from U&\"x\"", "x", "renamed from E'\\''", "using a; drop table b", "using $$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bounded(t)
		d, err := parseDirective(text)
		if err != nil {
			if err.Error() == "" || d.from != "" || d.using != "" {
				t.Errorf("%q: %+v, %v", text, d, err)
			}
			return
		}
		if (d.from == "") == (d.using == "") && !strings.Contains(text, "''") {
			t.Errorf("%q says %+v", text, d)
		}
		if pieces, err := split("SELECT " + d.using); d.using != "" && (err != nil || len(pieces) != 1) {
			t.Errorf("%q holds more than an expression: %q", text, d.using)
		}
	})
}

// FuzzSources: a folder of any SQL and HCL is read into statements that are parts of it, or into problems that name a file and
// a line of it; never a crash, and the same each time.
func FuzzSources(f *testing.F) {
	f.Add("CREATE TABLE a (b int);", "schema \"public\" {}\ntable \"t\" {\n  schema = schema.public\n  column \"a\" {\n    type = int\n  }\n}\n")
	f.Add("GRANT SELECT ON a TO b;\nSET search_path = x; DROP TABLE t; BEGIN; COMMIT;", "table \"t\" {}")
	f.Add("CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql; COMMENT ON TABLE t IS 'x'; SELECT pg_catalog.set_config('search_path', '', false);", "")
	f.Add("-- pgtender: renamed from x\nCREATE TABLE y (a int, b int -- pgtender: using a\n);\n\\connect z\nCOPY t FROM stdin;\n1\n\\.\n", "schema \"s\" {\n}\nenum \"e\" {\n schema = schema.s\n values = [\"a\"]\n}\n")
	for _, text := range registry(f, ".sql") {
		f.Add(text[:min(len(text), 3000)], "")
	}
	for _, text := range registry(f, ".hcl") {
		f.Add("", text)
	}
	f.Fuzz(func(t *testing.T, sql, hcl string) {
		bounded(t)
		texts := map[string]string{"s/a.sql": sql, "s/b.hcl": hcl}
		folder := fstest.MapFS{}
		for name, text := range texts {
			folder[name] = &fstest.MapFile{Data: []byte(text)}
		}
		read := func() (problems, []string) {
			files, _, err := collect([]Source{{FS: folder, Path: "s"}})
			var wrong problems
			if err != nil {
				var problem *Error
				if !errors.As(err, &problem) || len(problem.Problems) == 0 {
					t.Fatalf("no problems in %v", err)
				}
				return problem.Problems, nil
			}
			stmts, _, _ := parse(files, &wrong)
			var list []string
			for _, s := range stmts {
				if s.sql == "" || s.pos.File == "" {
					t.Errorf("a statement of nowhere: %+v", s)
				}
				if at := s.locate(1<<20, ""); at.File != s.pos.File {
					t.Errorf("an error in %s is put into %s", s.pos.File, at.File)
				}
				list = append(list, s.sql)
			}
			return wrong, list
		}
		wrong, stmts := read()
		again, stmts2 := read()
		if wrong.err() != nil && wrong.err().Error() != again.err().Error() || strings.Join(stmts, "\x00") != strings.Join(stmts2, "\x00") {
			t.Fatalf("read twice, it is\n%v %q\nand\n%v %q", wrong.err(), stmts, again.err(), stmts2)
		}
		for _, p := range wrong {
			text, ok := texts[p.Pos.File]
			if lines := strings.Count(text, "\n") + 1; p.Text == "" || !ok || p.Pos.Line < 1 || p.Pos.Line > lines+1 || p.Pos.Column < 1 {
				t.Errorf("a problem out of place: %+v", p)
			}
			if utf8.ValidString(sql+hcl) && !utf8.ValidString(p.Text) {
				t.Errorf("a message cut within a letter: %q", p.Text)
			}
		}
	})
}

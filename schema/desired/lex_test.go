package desired

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What psql takes for one statement is one here.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"nothing", " ;;\n-- only a comment\n/* and /* another */ */;", nil},
		{"two", "a; b ;", []string{"a", "b"}},
		{"no last semicolon", "a;\nb", []string{"a", "b"}},
		{"comments between", "-- x;\na -- ; y\n; /* ; */ b", []string{"a -- ; y", "b"}},
		{"strings", `a 'x;''y;' "n;""m;" E'\';' e'\\'; b`, []string{`a 'x;''y;' "n;""m;" E'\';' e'\\'`, "b"}},
		{"a backslash is nothing special in a plain string", `a '\'; b '\'`, []string{`a '\'`, `b '\'`}},
		{"unicode strings", `a U&'\;' U&"\;" n';' x';'; b`, []string{`a U&'\;' U&"\;" n';' x';'`, "b"}},
		{"dollar quotes", "a $$;$x$;$$; b $f1$ ; $$ ; $f1$", []string{"a $$;$x$;$$", "b $f1$ ; $$ ; $f1$"}},
		{"dollars in names and parameters", "a$$b; c$1$d; e $1; f", []string{"a$$b", "c$1$d", "e $1", "f"}},
		{"letters beyond ASCII in tags and names", "a $é$ ; $é$; größe$é$b; c", []string{"a $é$ ; $é$", "größe$é$b", "c"}},
		{"parentheses", "CREATE RULE r AS ON INSERT TO t DO (a; b); c", []string{"CREATE RULE r AS ON INSERT TO t DO (a; b)", "c"}},
		{"SQL bodies", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 1; END; c",
			[]string{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 1; END", "c"}},
		{"replaced SQL bodies", "create or replace procedure f() begin atomic a; b; end; c", []string{"create or replace procedure f() begin atomic a; b; end", "c"}},
		{"no body", "CREATE FUNCTION f(begin int) RETURNS int RETURN 1; CREATE TABLE case_begin (a int); c", []string{"CREATE FUNCTION f(begin int) RETURNS int RETURN 1", "CREATE TABLE case_begin (a int)", "c"}},
		{"BEGIN elsewhere", "BEGIN; a; END; b", []string{"BEGIN", "a", "END", "b"}},
		{"rows", "COPY t (a) FROM stdin;\n1;\t'\n\\.\nb;", []string{"COPY t (a) FROM stdin", "b"}},
		{"psql commands", "\\restrict abc\na;\n \\connect x; y\nb;", []string{`\restrict abc`, "a", `\connect x; y`, "b"}},
		{"a comment begins in an operator", "a +-- x\n1; b */* c; */ 2", []string{"a +-- x\n1", "b */* c; */ 2"}},
		{"numbers", "a 1.5e3;b 0x1F", []string{"a 1.5e3", "b 0x1F"}},
	} {
		pieces, err := split(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, p := range pieces {
			got = append(got, strings.TrimSpace(c.src[p.start:p.end]))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

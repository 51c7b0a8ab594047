package config

import "testing"

func TestParseTable(t *testing.T) {
	for text, want := range map[string]Table{
		"t":                        {"app", "t"},
		"s.t":                      {"s", "t"},
		"Mixed.Case":               {"Mixed", "Case"},
		"odd name":                 {"app", "odd name"},
		`"odd.name"`:               {"app", "odd.name"},
		`s."with ""quotes"" and."`: {"s", `with "quotes" and.`},
		`" edge "`:                 {"app", " edge "},
		"übung":                    {"app", "übung"},
	} {
		if got, err := ParseTable(text, "app"); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestTableNamed(t *testing.T) {
	odd := Table{"app", `it's "odd".`}
	for text, want := range map[string]bool{`it's "odd".`: true, `"it's ""odd""."`: true, `app."it's ""odd""."`: true, `other."it's ""odd""."`: false, "odd": false, "": false} {
		if got := odd.Named(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for table, want := range map[Table]string{{"public", "t"}: "public.t", {"app", "odd name"}: "'app.odd name'", odd: `'app."it'\''s ""odd""."'`, {"a.b", "c$"}: `'"a.b".c$'`} {
		if got := table.Arg(); got != want {
			t.Errorf("%v: %s, want %s", table, got, want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, schema, object string
		match                   bool
	}{
		{"public.legacy_*", "public", "legacy_a", true},
		{"public.legacy_*", "public", "legacy_", true},
		{"public.legacy_*", "public", "Legacy_a", false},
		{"public.legacy_*", "app", "legacy_a", false},
		{"public.t?", "public", "t1", true},
		{"public.t[0-9]", "public", "tx", false},
		{"public.a*", "public", "a/b", true},
		{"audit", "audit", "anything", true},
		{"audit", "auditor", "anything", false},
		{"*.tmp_*", "x", "tmp_1", true},
		{`public."a*"`, "public", "a*", true},
		{`public."a*"`, "public", "ab", false},
		{`public."a[\?"`, "public", `a[\?`, true},
		{`"we.ird".t`, "we.ird", "t", true},
		{"public.[", "public", "[", false},
	} {
		if got := (Pattern{Text: c.pattern}).Match(c.schema, c.object); got != c.match {
			t.Errorf("%s on %s.%s: %v", c.pattern, c.schema, c.object, got)
		}
	}
	if !(Pattern{Text: "audit.*"}).MatchSchema("audit") || (Pattern{Text: "audit.a*"}).MatchSchema("audit") {
		t.Error("whole schemas are not told from parts of them")
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"partition", "archive", "refresh", "io"}
	for name, want := range map[string]string{"partitoin": "partition", "Archive": "archive", "i": "io", "refrehs": "refresh", "banana": "", "": ""} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	docsFile   = "../../docs/configuration.md"
	beginTable = "<!-- begin of what is generated from internal/config/reference.go: go test ./internal/config -run TestDocs -update -->\n"
	endTable   = "<!-- end of what is generated -->\n"
)

// TestDocs holds the reference in docs/configuration.md to the table that the reader of the file uses.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), beginTable)
	generated, after, ok2 := strings.Cut(rest, endTable)
	if !ok || !ok2 {
		t.Fatal("docs/configuration.md has lost the marks around its generated part")
	}
	want := markdown(root())
	if generated == want {
		return
	}
	if !*update {
		t.Fatal("docs/configuration.md is stale: go test ./internal/config -run TestDocs -update")
	}
	if err := os.WriteFile(docsFile, []byte(before+beginTable+want+endTable+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// markdown writes the reference: one section for each block, then what has no effect and what is refused.
func markdown(top *block) string {
	var b, rest strings.Builder
	for i := range top.blocks {
		blockMarkdown(&b, &rest, &top.blocks[i], "")
	}
	fmt.Fprintf(&b, "\n## Names that mean something elsewhere\n\nEach is answered by name. *Passed over*: accepted, without effect, and listed by `plan`. *Refused*: an error.\n\n")
	fmt.Fprintf(&b, "| Name | | Why |\n|---|---|---|\n%s\n", rest.String())
	return b.String()
}

func blockMarkdown(b, rest *strings.Builder, blk *block, within string) {
	name := strings.TrimPrefix(within+"."+blk.name, ".")
	if blk.standing != used {
		if blk.free {
			restMarkdown(rest, "`"+name+" { … }`", blk.standing, blk.reason)
		}
	} else {
		title := blk.name
		if blk.label != "" {
			title += fmt.Sprintf(" %q", strings.ToUpper(blk.label[strings.LastIndex(blk.label, " ")+1:]))
		}
		heading := "\n## `" + title + "`"
		if within != "" && within != "env" {
			heading += " inside `" + within[strings.LastIndex(within, ".")+1:] + "`"
		}
		many := "At most once."
		if blk.many {
			many = "Any number."
		}
		fmt.Fprintf(b, "%s\n\n%s %s\n", heading, blk.doc, many)
		attributesMarkdown(b, blk)
		if blk.name == "check" {
			checksMarkdown(b)
		}
	}
	for _, a := range blk.attrs {
		if a.standing != used {
			restMarkdown(rest, "`"+name+"."+a.name+"`", a.standing, a.reason)
		}
	}
	for i := range blk.blocks {
		blockMarkdown(b, rest, &blk.blocks[i], name)
	}
}

func attributesMarkdown(b *strings.Builder, blk *block) {
	if len(blk.attrs) == 0 {
		return
	}
	fmt.Fprint(b, "\n| Attribute | Value | Default | Meaning |\n|---|---|---|---|\n")
	for _, a := range blk.attrs {
		if a.standing != used {
			continue
		}
		def := ""
		switch {
		case a.required:
			def = "*needed*"
		case a.def != "":
			def = "`" + a.def + "`"
		}
		doc := a.doc
		if a.refuses != "" {
			doc += " Refused: " + a.refuses + "."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", a.name, a.kind, def, doc)
	}
}

// checksMarkdown lists the checks whose thresholds a check block may set.
func checksMarkdown(b *strings.Builder) {
	fmt.Fprint(b, "\nThe checks that pgtender brings. Without a threshold a check tells and never warns, unless the file gives it one.\n\n"+
		"| Check | Measures | `warning` | `critical` | What it looks at |\n|---|---|---|---|---|\n")
	for _, c := range BuiltinChecks() {
		cell := func(v float64) string {
			if v == 0 {
				return "–"
			}
			return "`" + c.written(v) + "`"
		}
		measure := string(c.Measure)
		if c.Low {
			measure += ", less is worse"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", c.Name, measure, cell(c.Warning), cell(c.Critical), c.Doc)
	}
}

func restMarkdown(rest *strings.Builder, name string, s standing, reason string) {
	fmt.Fprintf(rest, "| %s | %s | %s |\n", name, map[standing]string{ignored: "passed over", refused: "refused", later: "refused, for now"}[s], reason)
}

// TestEveryAttributeIsRead gives each attribute of the reference a value of a kind that it cannot have, and
// wants a complaint on that line: an attribute that is documented and not read would pass in silence.
func TestEveryAttributeIsRead(t *testing.T) {
	tried := 0
	var walk func(blk *block, open, closing string, line int)
	walk = func(blk *block, open, closing string, line int) {
		for _, a := range blk.attrs {
			if a.standing != used {
				continue
			}
			tried++
			source := open + a.name + " = { wrong = true }\n" + closing
			if blk.name == "variable" && a.name == "default" {
				source = open + a.name + " = { wrong = true }\ntype = string\n" + closing
			}
			_, err := Load(LoadOptions{File: write(t, source), Env: "local"})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("atlas.hcl:%d:", line)) || strings.Contains(err.Error(), "unknown") {
				t.Errorf("%s is not read:\n%s\n%v", a.name, source, err)
			}
		}
		for i := range blk.blocks {
			c := &blk.blocks[i]
			if c.standing != used || c.free {
				continue
			}
			label := ""
			if c.label != "" {
				label = ` "local"`
			}
			walk(c, open+c.name+label+" {\n", "}\n"+closing, line+1)
		}
	}
	walk(root(), "", "", 1)
	if tried < 40 {
		t.Errorf("only %d attributes tried", tried)
	}
}

package config

import (
	"path/filepath"
	"slices"
	"testing"

	"ariga.io/atlas/schemahcl"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// What the atlas CLI's community edition decodes of a project file. Its own types are in an internal package
// of another module; these have the same fields and tags where a file of ours may touch them.
type (
	atlasProject struct {
		Envs []*atlasEnv `spec:"env"`
		Lint *atlasBlock `spec:"lint"`
		Diff *atlasBlock `spec:"diff"`
	}
	atlasEnv struct {
		Name      string       `spec:"name,name"`
		URL       string       `spec:"url"`
		DevURL    string       `spec:"dev"`
		Schemas   []string     `spec:"schemas"`
		Exclude   []string     `spec:"exclude"`
		Schema    *atlasSchema `spec:"schema"`
		Migration *struct {
			Dir string `spec:"dir"`
		} `spec:"migration"`
		schemahcl.DefaultExtension
	}
	atlasSchema struct {
		schemahcl.DefaultExtension
	}
	atlasBlock struct {
		schemahcl.DefaultExtension
	}
)

// atlasLoad evaluates a project file as the atlas CLI does: everything in the env, known to it or not.
func atlasLoad(t *testing.T, file string) (*atlasProject, error) {
	t.Helper()
	base, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	parser := hclparse.NewParser()
	if _, diags := parser.ParseHCLFile(file); diags.HasErrors() {
		return nil, diags
	}
	l := newLoader(LoadOptions{Getenv: environ("DATABASE_URL", "postgres://app@db/registry")}, base)
	state := schemahcl.New(
		schemahcl.WithVariables(map[string]cty.Value{"atlas": cty.ObjectVal(map[string]cty.Value{"env": cty.StringVal("local")})}),
		schemahcl.WithFunctions(map[string]function.Function{
			"file":    schemahcl.MakeFileFunc(base),
			"glob":    schemahcl.MakeGlobFunc(base),
			"fileset": schemahcl.MakeFileSetFunc(base),
			"getenv":  l.getenv(),
		}),
	)
	project := &atlasProject{}
	return project, state.Eval(parser, project, nil)
}

// TestAtlasCLIReadsTheFile: the official CLI must be able to read what pgtender reads.
func TestAtlasCLIReadsTheFile(t *testing.T) {
	schemahcl.Register("env", &atlasEnv{})
	for file, want := range map[string]*atlasEnv{
		"../../atlas.hcl": {Name: "local", URL: "postgres://app@db/registry", Schemas: []string{"public"}},
		contractFile:      {Name: "local", URL: "postgres://app@db/registry", Schemas: []string{"public"}, Exclude: []string{"public.legacy_*"}},
	} {
		project, err := atlasLoad(t, file)
		if err != nil || len(project.Envs) != 1 {
			t.Errorf("%s: %v", file, err)
			continue
		}
		got := project.Envs[0]
		var blocks []string
		for _, r := range got.Extra.Children {
			blocks = append(blocks, r.Type)
		}
		src, ok := got.Schema.Attr("src")
		if !ok {
			t.Errorf("%s: no schema.src", file)
			continue
		}
		if list, err := src.Strings(); err != nil || !slices.Equal(list, []string{"file://schema/registry"}) {
			t.Errorf("%s: schema.src is %q, %v", file, list, err)
		}
		slices.Sort(blocks)
		blocks = slices.Compact(blocks)
		if own := []string{"check", "daemon", "io", "job", "partition", "refresh"}; !slices.Equal(without(blocks, "archive"), own) {
			t.Errorf("%s: passed over %q, want %q", file, blocks, own)
		}
		got.Schema = nil
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(atlasEnv{}, "DefaultExtension")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func without(list []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == word })
}

// TestAtlasCLIRefusesWhatWeRefuse: the traps of the language are the same on both sides.
func TestAtlasCLIRefusesWhatWeRefuse(t *testing.T) {
	for name, source := range map[string]string{
		"bareword":         "env \"x\" {\n  url = \"postgres://db\"\n  io {\n    mode = recommend\n  }\n}",
		"unknown function": "env \"x\" {\n  url = \"postgres://db\"\n  io {\n    mode = lowercase(\"APPLY\")\n  }\n}",
		"sensitive":        "variable \"v\" {\n  type = string\n  default = \"\"\n  sensitive = true\n}\nenv \"x\" {\n  url = \"postgres://db\"\n}",
		"quoted type":      "variable \"v\" {\n  type = \"string\"\n  default = \"\"\n}\nenv \"x\" {\n  url = \"postgres://db\"\n}",
	} {
		file := write(t, source)
		if _, err := atlasLoad(t, file); err == nil {
			t.Errorf("%s: the atlas CLI accepts it", name)
		}
		if _, err := Load(LoadOptions{File: file}); err == nil {
			t.Errorf("%s: pgtender accepts it", name)
		}
	}
}

package config

import (
	"strings"
	"testing"
)

// TestDeepFiles: what would overflow the stack of a recursive reader is refused, or read.
func TestDeepFiles(t *testing.T) {
	head := "env \"x\" {\n  url = \"postgres://db\"\n  check \"c\" {\n    sql = \"SELECT 1\"\n    warning = "
	for name, expr := range map[string]string{
		"sum":       strings.Repeat("1+", 20_000) + "1",
		"index":     "1" + strings.Repeat("[var.x]", 2_000),
		"traversal": "a" + strings.Repeat(".a", 20_000),
		"choice":    strings.Repeat("true?1:", 900) + "1",
		"choices":   strings.Repeat("true?1:", 30_000) + "1",
		"lists":     strings.Repeat("[", 100_000),
		"templates": strings.Repeat(`"${`, 80_000),
		"heredocs":  strings.Repeat("<<A\n${", 40_000),
		"negations": strings.Repeat("-", 200_000) + "1",
		"spaced":    strings.Repeat("- ", 100_000) + "1",
		"not":       strings.Repeat("!(", 100_000),
		"for":       strings.Repeat("[for a in ", 25_000),
		"calls":     strings.Repeat("max(", 60_000),
		"splats":    "a" + strings.Repeat("[*]", 10_000),
	} {
		_, err := Load(LoadOptions{File: write(t, head+expr+"\n  }\n}\n")})
		if name == "sum" && err != nil || name == "lists" && err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(LoadOptions{File: write(t, strings.Repeat("#", 300_000))}); err == nil || !strings.Contains(err.Error(), "300000 bytes: at most 262144 are read") {
		t.Errorf("a large file: %v", err)
	}
}

func TestVarFlags(t *testing.T) {
	source := `
variable "tenant" {
  type = string
}
variable "count" {
  type    = number
  default = 1
}
variable "tags" {
  type    = map(string)
  default = {}
}
variable "api_key" {
  type    = bool
  default = false
}
env "x" {
  url = "postgres://db/${var.tenant}"
}
env "y" {
}
`
	file := write(t, source)
	for want, opts := range map[string]LoadOptions{
		`atlas.hcl: --var tennant: there is no such variable; did you mean "tenant"?
atlas.hcl:2:1: variable "tenant" has no default: set it with --var tenant=VALUE`: {Env: "x", Vars: map[string]string{"tennant": "a"}},
		`atlas.hcl:5:1: variable "count": --var count is no number: a number is required
atlas.hcl:9:1: variable "tags": --var tags is no map of string: it is read as JSON, and is not of that type
atlas.hcl:13:1: variable "api_key": --var api_key is no bool: a bool is required`: {Env: "x", Vars: map[string]string{"tenant": "a", "count": "s3cret", "tags": "s3cret", "api_key": "s3cret"}},
		`atlas.hcl: there is no env "z"; known: x, y`:        {Env: "z", Vars: map[string]string{"tenant": "a"}},
		`atlas.hcl: choose one of the envs with --env: x, y`: {Vars: map[string]string{"tenant": "a"}},
		`atlas.hcl:20:1: the database is not named: set DATABASE_URL when env.url takes it from there, write env.url, or give --url`: {Env: "y", Vars: map[string]string{"tenant": "a"}},
	} {
		opts.File = file
		_, err := Load(opts)
		if err == nil || strings.ReplaceAll(err.Error(), file, "atlas.hcl") != want {
			t.Errorf("%+v:\n got %v\nwant %s", opts, err, want)
		}
	}
	unlabelled := write(t, "env {\n  url = \"postgres://db\"\n}")
	if _, err := Load(LoadOptions{File: unlabelled, Env: "x"}); err == nil ||
		!strings.HasSuffix(err.Error(), `:1:1: env has no label: write env "NAME" { … }, or name = atlas.env to take the name from --env`) {
		t.Errorf("an env without a name: %v", err)
	}
	if err := CheckListen("localhost"); err == nil || !strings.HasPrefix(err.Error(), `--listen "localhost" is no address`) {
		t.Errorf("--listen localhost: %v", err)
	}
	if err := CheckListen("[::1]:0"); err != nil {
		t.Error(err)
	}
}

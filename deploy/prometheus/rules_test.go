// Package prometheus_test holds the alerts and the board against what pgtender has: the metrics, the checks, the runbook.
package prometheus_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
)

const (
	rulesFile   = "pgtender.rules.yml"
	boardFile   = "../grafana/pgtender.json"
	runbookFile = "../../docs/runbook.md"
	runbookURL  = "https://github.com/pgtender/pgtender/blob/main/docs/runbook.md#"
)

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(read(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) < 40 {
		t.Fatalf("only %d rules", len(out))
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unknownNames returns the metrics, labels of metrics and checks in a query that pgtender does not have.
func unknownNames(query string) []string {
	families := map[string]checks.Family{}
	for _, f := range checks.Families() {
		families[f.Name] = f
		if f.Kind == checks.Histogram {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				families[f.Name+suffix] = f
			}
		}
	}
	var out []string
	for _, m := range regexp.MustCompile(`\b(pgtender_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(query, -1) {
		f, ok := families[m[1]]
		if !ok {
			out = append(out, m[1])
			continue
		}
		for _, l := range regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`).FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(append([]string{"job", "instance", "database"}, f.Labels...), strings.TrimPrefix(l[1], "exported_")) {
				out = append(out, m[1]+"{"+l[1]+"}")
			}
		}
	}
	known := map[string]bool{}
	for _, b := range config.BuiltinChecks() {
		known[b.Name] = true
	}
	for _, m := range regexp.MustCompile(`\bcheck(?:=|!=|=~|!~)"([^"$]*)"`).FindAllStringSubmatch(query, -1) {
		for _, name := range strings.Split(m[1], "|") {
			if !known[name] {
				out = append(out, "check "+name)
			}
		}
	}
	return out
}

func TestUnknownNamesAreFound(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{
		`pgtender_leader == 1`: 0, `sum(rate(pgtender_job_duration_seconds_bucket{exported_job="x"}[5m])) by (le)`: 0, `pgtender_check_status{check="xid_age", object="y"}`: 0,
		`pgtender_liader == 1`: 1, `pgtender_leader{table="x"}`: 1, `pgtender_check_status{check=~"xid_age|lock_wait"}`: 1, `pgtender_leader_bucket`: 1,
	} {
		if got := unknownNames(query); len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

func TestRulesNameWhatThereIs(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, r := range rules(t) {
		if names := unknownNames(r.Expr); len(names) > 0 {
			t.Errorf("%s: pgtender has no %v: %s", r.Alert, names, r.Expr)
		}
		for _, b := range config.BuiltinChecks() {
			if strings.Contains(r.Expr, `check="`+b.Name+`"`) {
				named[b.Name] = true
			}
		}
	}
	// Every check that warns by itself has an alert; the others come under PgtenderCheck once the file gives them thresholds.
	for _, b := range config.BuiltinChecks() {
		tells := b.Measure != config.State && b.Warning == 0 && b.Critical == 0
		if named[b.Name] == tells && b.Name != "leader" { // PgtenderNoLeader
			t.Errorf("check %s: has an alert: %v, warns by itself: %v", b.Name, named[b.Name], !tells)
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(read(t, runbookFile), -1) {
		sections[m[1]] = false
	}
	for _, r := range rules(t) {
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 60 {
			t.Errorf("%s: %v", r.Alert, r.Annotations)
		}
		if want := runbookURL + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if _, ok := sections[r.Alert]; !ok {
			t.Errorf("the runbook has no section for %s", r.Alert)
		}
		sections[r.Alert] = true
	}
	for name, used := range sections {
		if !used {
			t.Errorf("the runbook's section %s is of no alert", name)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([a-z]+)\)`).FindAllStringSubmatch(read(t, runbookFile), -1) {
		found := false
		for name := range sections {
			found = found || strings.ToLower(name) == m[1]
		}
		if !found {
			t.Errorf("the runbook refers to #%s, which it does not have", m[1])
		}
	}
}

func TestBoardNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	text := read(t, boardFile)
	var board any
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	queries := 0
	shown := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				if query, ok := e.(string); ok && (key == "expr" || key == "query" || key == "definition") && strings.Contains(query, "_") {
					queries++
					if names := unknownNames(query); len(names) > 0 {
						t.Errorf("pgtender has no %v: %s", names, query)
					}
					for _, f := range checks.Families() {
						if strings.Contains(query, f.Name) {
							shown[f.Name] = true
						}
					}
				}
				walk(e)
			}
		}
	}
	walk(board)
	if queries < 25 {
		t.Errorf("only %d queries", queries)
	}
	for _, f := range checks.Families() {
		if !shown[f.Name] {
			t.Errorf("the board shows nothing of %s", f.Name)
		}
	}
}

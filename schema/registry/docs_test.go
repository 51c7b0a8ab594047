package registry_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/schema/registry/registrytest"
)

var sqlBlock = regexp.MustCompile("(?ms)^```sql\n(.*?)^```$")

// The examples of docs/registry.md run, in their order, as somebody would type them.
func TestDocumentedExamplesRun(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/registry.md")
	if err != nil {
		t.Fatal(err)
	}
	d := connect(t, registrytest.Sample(t))
	d.do("RESET search_path")
	d.do("CREATE TABLE training_records_rest PARTITION OF training_records DEFAULT") // today, whenever that is
	blocks := sqlBlock.FindAllStringSubmatch(string(text), -1)
	for _, block := range blocks {
		wanted, fails := strings.CutPrefix(strings.SplitN(block[1], "\n", 2)[0], "-- error: ")
		for _, sql := range statements(block[1]) {
			_, err := d.Exec(context.Background(), sql)
			switch {
			case fails && (err == nil || !strings.Contains(err.Error(), wanted)):
				t.Errorf("%s\nwant an error with %q, got %v", sql, wanted, err)
			case !fails && err != nil:
				t.Errorf("%s\n%v", sql, err)
			}
		}
	}
	if len(blocks) < 10 {
		t.Errorf("%d examples found", len(blocks))
	}
}

// statements splits at the ends of lines; no example has a semicolon elsewhere.
func statements(block string) []string {
	var all []string
	for _, s := range regexp.MustCompile(`;[^\n;]*\n`).Split(block, -1) {
		if strings.TrimSpace(s) != "" {
			all = append(all, s)
		}
	}
	return all
}

// Each test that the page names exists.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/registry.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.go") {
			b, err := os.ReadFile(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(b)
		}
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)").FindAllStringSubmatch(string(text), -1)
	for _, name := range names {
		if !strings.Contains(sources.String(), "func "+name[1]) {
			t.Errorf("docs/registry.md names %s, which is not there", name[1])
		}
	}
	if len(names) < 15 {
		t.Errorf("%d tests named", len(names))
	}
}
